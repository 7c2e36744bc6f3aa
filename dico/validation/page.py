"""The report's page as a Jinja template; all values are escaped, nothing is loaded from outside."""

TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Validation: {{ name }}</title>
<style>
:root { --ink:#1c2430; --soft:#5b6675; --line:#e3e7ed; --paper:#ffffff; --ground:#f5f6f8;
  --good:#1a7f4b; --goodsoft:#e4f4ea; --bad:#b3261e; --badsoft:#fbe9e7; --warn:#9a6700;
  --warnsoft:#fff4d6; --accent:#3556b8; --accentsoft:#dfe6fa; }
@media (prefers-color-scheme: dark) { :root { --ink:#e6e9ee; --soft:#9aa5b4; --line:#313844;
  --paper:#1b2028; --ground:#12161c; --good:#57c98a; --goodsoft:#163324; --bad:#f2837b;
  --badsoft:#3b1c1a; --warn:#e3b341; --warnsoft:#352a10; --accent:#8aa5f5; --accentsoft:#222d4d; } }
* { box-sizing:border-box } body { margin:0; background:var(--ground); color:var(--ink);
  font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif }
main { max-width:1120px; margin:0 auto; padding:28px 20px 60px }
h1 { font-size:26px; margin:0 0 2px; letter-spacing:-.01em } h2 { font-size:18px; margin:34px 0 12px }
h3 { font-size:15px; margin:0 } p { margin:4px 0 } .soft { color:var(--soft) }
.mono, code { font:12.5px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;
  overflow-wrap:anywhere }
.card { background:var(--paper); border:1px solid var(--line); border-radius:10px; padding:16px 18px }
.verdict { display:flex; gap:16px; align-items:flex-start; border-left:6px solid; margin-top:18px }
.verdict.good { border-left-color:var(--good) } .verdict.bad { border-left-color:var(--bad) }
.verdict .mark { font-size:20px; font-weight:700; white-space:nowrap }
.good .mark { color:var(--good) } .bad .mark { color:var(--bad) }
.verdict ul { margin:4px 0 0; padding-left:18px }
.tiles { display:grid; grid-template-columns:repeat(auto-fit,minmax(150px,1fr)); gap:12px;
  margin-top:14px }
.tile b { display:block; font-size:24px; letter-spacing:-.02em } .tile span { color:var(--soft) }
.bar { display:flex; height:26px; border-radius:7px; overflow:hidden; background:var(--line) }
.bar i { display:block; font-style:normal; font-size:12px; line-height:26px; padding:0 8px;
  color:#fff; white-space:nowrap; overflow:hidden }
.bar i.train { background:#3556b8 } .bar i.validation { background:#2a8c82 }
.bar i.test { background:#8a4fb5 } .bar i.aside { background:#c4473e }
.charts { display:grid; grid-template-columns:repeat(auto-fit,minmax(250px,1fr)); gap:12px }
.chart svg { width:100%; height:auto; display:block } .chart rect { fill:var(--accent) }
.chart text { fill:var(--soft); font-size:10px }
.finding { margin-bottom:12px } .finding header { display:flex; gap:10px; align-items:baseline;
  flex-wrap:wrap } .finding header code { color:var(--soft) }
.tag { font-size:12px; font-weight:600; padding:1px 8px; border-radius:20px }
.tag.error, .tag.fatal { background:var(--badsoft); color:var(--bad) }
.tag.warning { background:var(--warnsoft); color:var(--warn) }
.tag.met { background:var(--goodsoft); color:var(--good) }
.count { margin-left:auto; font-variant-numeric:tabular-nums; font-weight:600 }
.grid { display:grid; grid-template-columns:repeat(auto-fill,minmax(150px,1fr)); gap:12px;
  margin-top:12px }
figure { margin:0 } figure img, .none { width:100%; height:118px; object-fit:cover; border-radius:7px;
  background:var(--ground); display:block }
.none { display:flex; align-items:center; justify-content:center; color:var(--soft); font-size:12px;
  border:1px dashed var(--line); text-align:center; padding:8px }
figcaption { font-size:12px; line-height:1.35; margin-top:5px; overflow-wrap:anywhere;
  color:var(--soft) } figcaption b { color:var(--ink); font-weight:600 }
figcaption q { color:var(--bad); quotes:none }
.pairs { display:grid; grid-template-columns:repeat(auto-fill,minmax(330px,1fr)); gap:12px }
.pair .two { display:grid; grid-template-columns:1fr 1fr; gap:8px } .pair p { font-size:12.5px }
table { border-collapse:collapse; width:100%; font-size:13.5px } th { text-align:left;
  color:var(--soft); font-weight:600 } td, th { padding:6px 10px 6px 0; vertical-align:top;
  border-bottom:1px solid var(--line) } details { margin-top:12px } summary { cursor:pointer }
.words span { display:inline-block; background:var(--accentsoft); color:var(--accent);
  border-radius:20px; padding:1px 9px; margin:2px 3px 2px 0; font-size:13px }
.scroll { overflow-x:auto }
</style></head><body><main>
<h1>{{ name }}</h1>
<p class="soft">{{ s.dataset.format }}{% if s.dataset.known %} &middot; {{ s.dataset.known }}{% endif %}
 &middot; fingerprint <span class="mono">{{ s.fingerprint[:16] }}</span></p>

<section class="card verdict {{ 'good' if s.ok else 'bad' }}">
<div class="mark">{{ '✓ Fit to train on' if s.ok else '✗ Refused' }}</div>
<div>{% if s.ok %}<p>All {{ s.judgements|length }} expectations are met.</p>
{% if num_aside %}<p>{{ num_aside }} of {{ s.numbers.num_rows }} pictures were set aside, within what is
allowed.</p>{% endif %}
{% else %}<p>{{ s.reasons|length }} of {{ s.judgements|length }} expectations are not met:</p>
<ul>{% for reason in s.reasons %}<li>{{ reason }}</li>{% endfor %}</ul>{% endif %}</div></section>

<div class="tiles">{% for value, label in tiles %}
<div class="card tile"><b>{{ value }}</b><span>{{ label }}</span></div>{% endfor %}</div>

<h2>Splits</h2><div class="card"><div class="bar">
{% for label, count, share, kind in splits %}<i class="{{ kind }}" style="width:{{ share }}%"
 title="{{ label }} {{ count }}">{{ label }} {{ count }}</i>{% endfor %}</div>
{% if s.splits_made_here %}<p class="soft">{{ s.splits_made_here }} pictures had no split: theirs was made
here from the pictures' content, so it never changes, and near-duplicates stay together.</p>{% endif %}
</div>

<h2>Findings</h2>
{% if not findings %}<div class="card"><p>Nothing was found.</p></div>{% endif %}
{% for f in findings %}<section class="card finding"><header>
<span class="tag {{ f.severity }}">{{ f.severity }}</span><h3>{{ f.title }}</h3>
<code>{{ f.code }}</code><span class="count">{{ f.num_pictures }}
 picture{{ '' if f.num_pictures == 1 else 's' }}</span></header>
<p class="soft">What to do: {{ f.advice }}.</p>
<div class="grid">{% for e in f.examples %}<figure>
{% if e.preview %}<img src="{{ e.preview }}" alt="">{% else %}<div class="none">no picture to
show</div>{% endif %}
<figcaption>{% if e.caption is not none %}<q>{{ e.caption[:160] }}</q><br>{% endif %}
<b>{{ e.image_id[:60] }}</b>{% if e.split %} &middot; {{ e.split }}{% endif %}
{% if e.caption is none and e.detail %}<br>{{ e.detail|replace(e.uri ~ ': ', '') if e.uri else e.detail }}{% endif %}<br><span class="mono">{{ e.where.rpartition("/")[2] }}</span></figcaption></figure>
{% endfor %}</div></section>{% endfor %}

{% if pairs %}<h2>Pictures that look alike</h2><p class="soft">{{ num_pairs }} pairs; the
{{ pairs|length }} shown are the most alike, those across splits first.</p>
<div class="pairs">{% for p in pairs %}<div class="card pair"><div class="two">
{% for side in p.sides %}<figure>{% if side.preview %}<img src="{{ side.preview }}" alt="">
{% else %}<div class="none">not read</div>{% endif %}<figcaption><b>{{ side.image_id[:40] }}</b>
 &middot; {{ side.split or 'no split' }}</figcaption></figure>{% endfor %}</div>
<p>{{ p.kind }}, likeness {{ '%.2f'|format(p.likeness) }}{% if p.leak %}
 <span class="tag error">across splits</span>{% endif %}</p></div>{% endfor %}</div>{% endif %}

<h2>The data</h2><div class="charts">{% for c in charts %}<div class="card chart"><h3>{{ c.title }}</h3>
<svg viewBox="0 0 260 110" role="img" aria-label="{{ c.title }}">{% for b in c.bars %}
<rect x="{{ b.x }}" y="{{ b.y }}" width="{{ b.width }}" height="{{ b.height }}" rx="1.5">
<title>{{ b.label }}: {{ b.count }}</title></rect>{% endfor %}
<text x="0" y="108">{{ c.low }}</text><text x="260" y="108" text-anchor="end">{{ c.high }}</text>
<text x="130" y="108" text-anchor="middle">median {{ c.median }}</text></svg></div>{% endfor %}</div>
{% if words %}<div class="card words" style="margin-top:12px"><h3>Most frequent words</h3><p>
{% for word in words %}<span>{{ word }}</span>{% endfor %}</p></div>{% endif %}
{% if sample %}<div class="card" style="margin-top:12px"><h3>A sample</h3><div class="grid">
{% for e in sample %}<figure>{% if e.preview %}<img src="{{ e.preview }}" alt="">{% endif %}
<figcaption>{{ (e.captions or [''])[0][:110] }} <b>{{ e.split }}</b></figcaption></figure>{% endfor %}
</div></div>{% endif %}

<h2>How it was judged</h2><div class="card">
<p>Great Expectations judged {{ s.judgements|length }} expectations over the columns that the checks
computed; allowed shares and own expectations are set in the thresholds file.</p>
<details {{ '' if s.ok else 'open' }}><summary>All expectations</summary><div class="scroll"><table>
<tr><th>table</th><th>column</th><th>expectation</th><th>settings</th><th>observed</th><th></th></tr>
{% for j in judgements %}<tr><td>{{ j.table }}</td><td class="mono">{{ j.name }}</td>
<td class="mono">{{ j.type|replace('expect_', '')|replace('_', ' ') }}</td>
<td class="mono">{{ j.settings }}</td><td>{{ j.observed }}</td>
<td><span class="tag {{ 'met' if j.met else 'error' }}">{{ 'met' if j.met else 'not met' }}</span></td>
</tr>{% endfor %}</table></div></details>
<details><summary>Numbers</summary><table>{% for name, value in s.numbers.items() %}<tr>
<td class="mono">{{ name }}</td><td>{{ '%.4g'|format(value) if value is not integer else value }}</td>
</tr>{% endfor %}</table></details>
<details><summary>Settings and files</summary><table>{% for name, value in s.config.items() %}<tr>
<td class="mono">{{ name }}</td><td class="mono">{{ value }}</td></tr>{% endfor %}
{% for file in s.dataset.files[:20] %}<tr><td class="mono">file</td><td class="mono">{{ file }}</td></tr>
{% endfor %}</table></details></div>
</main></body></html>
"""
