"""How the page of a report looks."""

STYLE = """
:root { --ink: #24292f; --grey: #667; --line: #dde; --blue: #0072B2; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #f5f6f8; font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1200px; margin: 0 auto; padding: 24px; }
h1 { margin: 0; font-size: 30px; overflow-wrap: anywhere; }
h2 { margin: 0 0 8px; font-size: 19px; }
a { color: var(--blue); }
section, .card { background: white; border: 1px solid var(--line); border-radius: 8px; }
section { margin: 16px 0; padding: 16px 20px; }
section p { margin: 4px 0 10px; color: var(--grey); }
ul { margin: 4px 0 10px; padding-left: 20px; }
.lead { margin: 4px 0; font-size: 16px; color: var(--grey); }
.description { margin: 4px 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.cards { display: flex; flex-wrap: wrap; gap: 12px; margin: 16px 0; }
.card { flex: 1 1 180px; padding: 12px 16px; }
.card span, .card small { display: block; color: var(--grey); }
.card b { display: block; font-size: 22px; }
.chart, .table { overflow-x: auto; }
.warning { padding: 8px 12px; border-left: 4px solid #D55E00; background: #fff3ec; }
.absent, .small { font-size: 13px; }
table { width: 100%; border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 10px 4px 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { color: var(--grey); font-weight: 600; white-space: nowrap; }
td { max-width: 420px; overflow-wrap: anywhere; }
pre { margin: 8px 0; padding: 12px; overflow-x: auto; background: #f5f6f8; border-radius: 6px; font-size: 13px; }
summary { cursor: pointer; color: var(--grey); }
@media print { body { background: white; } section { break-inside: avoid; } }
""".strip()
