"""Self-contained HTML pages: one base template and style, thumbnails as data URIs."""
