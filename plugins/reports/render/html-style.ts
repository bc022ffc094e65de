/** The look of the HTML report, on screen and on paper. */
export const styles = `
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 860px; padding: 32px 24px 80px; color: #1c2430; background: #fff; line-height: 1.75;
  font-family: "Noto Sans SC", "Source Han Sans SC", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif; }
h1, h2 { color: #1f3f6e; }
h1 { font-size: 2em; line-height: 1.35; margin: 48px 0 24px; padding: 16px 0; border-top: 3px solid #1f3f6e; border-bottom: 1px solid #c6cfdb; }
h2 { border-bottom: 1px solid #1f3f6e; padding-bottom: 4px; margin-top: 2.2em; }
h3, h4, h5, h6 { margin: 1.6em 0 .5em; }
main p { text-indent: 2em; margin: .4em 0; overflow-wrap: anywhere; }
a { color: #1f5fa8; text-decoration: none; }
a:hover { text-decoration: underline; }
nav ol { list-style: none; margin: 0; padding: 0; }
nav .l1 { font-weight: bold; } nav .l2 { padding-left: 1.5em; } nav .l3 { padding-left: 3em; } nav .l4 { padding-left: 4.5em; }
.notice { background: #fbf5e6; border-left: 3px solid #c9962b; padding: 8px 14px; }
table { border-collapse: collapse; width: 100%; margin: 1em 0 1.4em; font-size: .9em; border-top: 2px solid #1f3f6e; border-bottom: 2px solid #1f3f6e; }
caption, figcaption { text-align: left; font-weight: bold; padding-bottom: 4px; font-size: 1em; }
figcaption { font-size: .9em; }
caption .ref, figcaption .ref { float: right; font-weight: normal; font-size: .9em; }
th, td { padding: 5px 8px; text-align: left; vertical-align: top; border-bottom: 1px solid #c6cfdb; overflow-wrap: anywhere; }
thead th { background: #e6ecf4; }
.n { text-align: right; white-space: nowrap; }
.pairs th { background: #f4f6f9; width: 30%; }
figure { margin: 1.2em 0; }
figure svg { max-width: 100%; height: auto; display: block; margin: 0 auto; }
@media print {
  @page { size: A4; margin: 22mm 20mm; }
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  .cover, nav { break-after: page; }
  h2, h3, h4, h5, h6, caption, figcaption { break-after: avoid; }
  figure, tr { break-inside: avoid; }
  thead { display: table-header-group; }
  a { color: inherit; }
}
`;
