"""The catalogue of everything that validation can find, and what to do about each.

Severity: ``fatal`` findings fail a dataset in every mode (part of it is unreadable); an ``error``
sets the image or caption aside; what is ``excluded`` is left out because the dataset itself says
so, and fails nothing; a ``warning`` stays as a flag in the manifest.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of finding."""

    code: str
    """Its name in thresholds, flags and reports."""
    severity: str
    """fatal, error, excluded or warning."""
    subject: str
    """What it is about: image or caption."""
    title: str
    """What it means, in a few words."""
    advice: str
    """What to do."""


def _kinds(subject: str, *rows: tuple[str, str, str, str]) -> list[Kind]:
    return [Kind(code, severity, subject, title, advice) for code, severity, title, advice in rows]


_ALL = [
    *_kinds(
        "image",
        ("file_malformed", "fatal", "the dataset's file ends or breaks in the middle",
         "export or download it again; everything after this place is missing"),
        ("file_truncated", "fatal", "the last line is cut off", "export or download the file again"),
        ("shard_damaged", "fatal", "a tar shard breaks in the middle", "download the shard again"),
        ("row_malformed", "error", "a row that is not an image with captions",
         "fix the row, or name its columns by --image-column and --caption-column"),
        ("row_repaired", "warning", "a row with a known defect, read as it is meant",
         "check the row by --explain"),
        ("sample_ambiguous", "error", "several images of one name, or texts that fit none",
         "give each image a name of its own, and its texts the same"),
        ("json_malformed", "error", "a line that is not JSON", "fix the line"),
        ("json_duplicate_key", "error", "one key twice in one object",
         "keep one of the two values; parsers disagree on which counts"),
        ("json_nan", "error", "NaN or Infinity, which is not JSON", "write null or leave it out"),
        ("json_huge_integer", "error", "an integer of absurd length", "write identifiers as text"),
        ("json_too_deep", "error", "JSON nested too deeply", "remove the nesting"),
        ("member_unsafe", "error", "a tar member with an unsafe path, or a link",
         "rebuild the shard with plain relative names"),
        ("image_missing", "error", "the image is not there",
         "name the folder that has it by --images FOLDER (images=FOLDER in a run), or remove the row"),
        ("image_ambiguous", "error", "a name that several images have",
         "write the folder into the row, or name one folder by --images"),
        ("image_address", "error", "a web address instead of an image",
         "download the images first, for instance with img2dataset, and validate its shards"),
        ("image_embedded", "error", "an image inside the file that cannot be read there",
         "unpack the file, or write images as files, JSON lines or Parquet"),
        ("image_unreadable", "error", "the image may not be read", "check its owner and mode"),
        ("image_not_a_file", "error", "a folder, pipe or device instead of an image",
         "remove the row"),
        ("image_empty", "error", "a file of no bytes", "download it again"),
        ("image_format", "error", "not an image, whatever its name says",
         "download it again, or export it as JPEG or PNG"),
        ("image_truncated", "error", "the image ends too early", "download it again"),
        ("image_damaged", "error", "the image does not decode", "download it again"),
        ("image_timeout", "error", "decoding takes too long", "save the image anew"),
        ("image_too_large", "error", "more bytes or pixels than allowed",
         "scale it down, or raise --max-pixels"),
        ("image_too_narrow", "error", "a strip, not a photograph", "crop it or remove the row"),
        ("image_too_small", "error", "fewer pixels than a model can use",
         "use the original instead of a thumbnail"),
        ("image_range_unclear", "error", "float or 32-bit pixels of unknown range",
         "save it as 8-bit RGB"),
        ("image_digest_mismatch", "error", "not the bytes that the dataset's digest names",
         "download it again"),
        ("id_missing", "error", "no id and no name to make one of", "give the row an id"),
        ("id_duplicate", "error", "two images under one id", "give each image its own id"),
        ("image_two_ids", "error", "one image under two ids",
         "merge the two rows and their captions"),
        ("image_unknown_id", "error", "captions of an id that no image has",
         "add the image or remove the captions"),
        ("split_unknown", "error", "a split of an unknown name", "use train, validation or test"),
        ("split_conflict", "error", "rows of one image name different splits", "choose one"),
        ("split_unlisted", "excluded", "an image that is in no list of a split beside the dataset",
         "add it to a list, or give the rows a column split"),
        ("captions_missing", "error", "fewer usable captions than required",
         "write captions, say which column holds them by --caption-column, or lower --min-captions"),
        ("captions_rejected", "excluded", "no caption but those that the dataset marks as unusable or --where leaves out",
         "nothing need be done: the image is left out"),
        ("leak_identical", "error", "the same image in two splits",
         "keep it in one split; measured quality is else too good"),
        ("leak_similar", "error", "nearly the same image in two splits",
         "keep both in one split, or raise the limit when they are different images"),
        ("image_similar", "warning", "nearly the same image twice in one split",
         "keep one of them"),
        ("leak_caption", "warning", "a longer caption word for word of train in another split",
         "check whether annotators copied captions"),
        ("image_animated", "warning", "an animation, read as its first frame",
         "check that the captions describe the first frame"),
        ("image_cmyk", "warning", "CMYK, converted without a colour profile",
         "save it as RGB for exact colours"),
        ("image_blank", "warning", "one colour all over", "check the image"),
        ("positive_unusable", "warning", "an added positive that cannot be used, and is left out",
         "fix or remove it"),
        ("positives_malformed", "warning", "positive_images or positive_captions is no list of texts",
         "write a list of texts"),
    ),
    *_kinds(
        "caption",
        ("caption_not_text", "error", "a caption that is not text", "write text, or remove it"),
        ("caption_empty", "error", "an empty caption", "write it or remove it"),
        ("caption_too_long", "error", "a caption of excessive length",
         "cut it to a sentence, or raise --max-caption-chars"),
        ("caption_rejected", "excluded", "a caption that the dataset marks as rejected or pre-canned",
         "nothing need be done: it is left out"),
        ("caption_not_chosen", "excluded", "a caption of a row that --where leaves out",
         "nothing need be done: it is left out"),
        ("caption_tags_beside", "excluded", "tags between commas beside a sentence on the same image",
         "nothing need be done: the sentence is the caption"),
        ("caption_twice_in_sample", "excluded", "a caption that two columns, or two files of a sample, both have",
         "nothing need be done: it counts once"),
        ("caption_cut", "warning", "more words than --max-caption-words: training may cut it",
         "shorten it, or use a preset with more positions (captioner.max_tokens)"),
        ("caption_encoding", "error", "broken characters (wrong encoding)", "save it as UTF-8"),
        ("caption_mojibake", "error", "letters garbled by a wrong encoding",
         "read the source with its true encoding"),
        ("caption_control", "error", "control characters", "remove them"),
        ("caption_special_token", "error", "the text of a model's control token", "remove it"),
        ("caption_markup", "error", "HTML or entities", "strip the markup"),
        ("caption_address", "error", "a web or e-mail address", "remove it"),
        ("caption_no_words", "error", "no letters at all", "write words"),
        ("caption_boilerplate", "error", "a placeholder, file name or stock phrase",
         "write a caption, or remove it"),
        ("caption_repeated", "warning", "one text on very many images",
         "check whether it says anything about them"),
        ("caption_duplicate", "warning", "the same caption twice on one image", "remove one"),
        ("caption_lines", "warning", "a caption of several lines, read as one",
         "where each line is a caption, write a list of them"),
        ("caption_joined", "warning", "separators or brackets, as of several captions in one text",
         "write a list of captions, or call the column captions"),
        ("caption_escaped", "warning", "a backslash, or Python's b'...', as of a text written twice",
         "decode the text before it is written"),
        ("caption_tags", "warning", "tags between commas, as trainers of image generators use them",
         "where sentences are meant, name the file or column that holds them"),
        ("caption_quoted", "warning", "a caption in quotation marks from end to end",
         "take the marks away, where they are no part of the text"),
        ("caption_too_short", "warning", "a single word", "write a sentence"),
        ("caption_invisible", "warning", "invisible or direction characters", "remove them"),
        ("caption_script", "warning", "mostly not of the Latin script",
         "check the language that the tokeniser knows"),
    ),
]  # fmt: skip

KINDS: dict[str, Kind] = {kind.code: kind for kind in _ALL}
