"use strict";
// Discord's markdown as HTML. All text is escaped before any tag is made.

const escaped = text => text.replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);

// `names` gives the text of a mention: names("@", id), names("#", id).
function markdown(text, names) {
  const kept = [];
  const keep = html => `\u0001${kept.push(html) - 1}\u0002`;
  const code = body => keep(`<code>${escaped(body)}</code>`);

  const inline = line => escaped(line
    .replace(/\\([^\w\s])|(`{1,2})([^`]+)\2/g, (_, plain, _tick, body) => plain ? keep(escaped(plain)) : code(body))
    .replace(/<t:(-?\d+)(?::([tTdDfFR]))?>/g, (_, at, style) => keep(`<time data-at="${at}" data-style="${style || "f"}"></time>`))
    .replace(/<@!?(\d+)>/g, (_, id) => keep(`<span class="mention">@${escaped(names("@", id))}</span>`))
    .replace(/<#(\d+)>/g, (_, id) => keep(`<span class="mention">#${escaped(names("#", id))}</span>`))
    .replace(/<\/([^:>]+):\d+>/g, (_, name) => keep(`<span class="mention" data-command="${escaped(name)}">/${escaped(name)}</span>`))
    .replace(/\[([^\]]+)\]\(<?(https?:\/\/[^\s)>]+)>?\)/g, (_, label, url) => keep(link(url, label)))
    .replace(/<?(https?:\/\/[^\s<>)]+)>?/g, (_, url) => keep(link(url, url))))
    .replace(/\*\*(.+?)\*\*/g, "<b>$1</b>")
    .replace(/__(.+?)__/g, "<u>$1</u>")
    .replace(/(^|[^\w*])\*([^*\s](?:[^*]*[^*\s])?)\*(?![\w*])/g, "$1<i>$2</i>")
    .replace(/(^|[^\w_])_([^_\s](?:[^_]*[^_\s])?)_(?![\w_])/g, "$1<i>$2</i>")
    .replace(/~~(.+?)~~/g, "<s>$1</s>")
    .replace(/\|\|(.+?)\|\|/g, '<span class="spoiler" tabindex="0">$1</span>');

  const blocks = [];
  const last = kind => blocks.length && blocks.at(-1).kind === kind ? blocks.at(-1) : blocks[blocks.push({kind, lines: []}) - 1];
  const fenced = text.replace(/```(?:[\w+-]*\n)?([\s\S]*?)\n?```/g, (_, body) => `\n${keep(`<pre>${escaped(body)}</pre>`)}\n`);
  for (const line of fenced.split("\n")) {
    let found;
    if (/^\u0001\d+\u0002$/.test(line) && kept[line.slice(1, -1)].startsWith("<pre>")) blocks.push({kind: "pre", lines: [line]});
    else if ((found = line.match(/^(#{1,3}) (.+)/))) blocks.push({kind: `h${found[1].length + 2}`, lines: [inline(found[2])]});
    else if ((found = line.match(/^-# (.+)/))) last("small").lines.push(inline(found[1]));
    else if ((found = line.match(/^\s*[-*] (.+)/))) last("ul").lines.push(inline(found[1]));
    else if ((found = line.match(/^> ?(.*)/))) last("blockquote").lines.push(inline(found[1]));
    else last("p").lines.push(inline(line));
  }
  const html = blocks.map(({kind, lines}) => {
    if (kind === "pre") return lines[0];
    if (kind === "ul") return `<ul>${lines.map(each => `<li>${each}</li>`).join("")}</ul>`;
    // Blank lines at a block's ends come from what stood around it.
    const body = lines.join("\n").replace(/^\n+|\n+$/g, "");
    return body ? `<${kind}>${body}</${kind}>` : "";
  }).join("");
  const restored = part => part.replace(/\u0001(\d+)\u0002/g, (_, index) => restored(kept[index]));
  return restored(html);
}

function link(url, label) {
  return `<a href="${escaped(url)}" target="_blank" rel="noreferrer">${escaped(label)}</a>`;
}

const STYLES = {
  t: {timeStyle: "short"}, T: {timeStyle: "medium"},
  d: {dateStyle: "short"}, D: {dateStyle: "long"},
  f: {dateStyle: "long", timeStyle: "short"}, F: {dateStyle: "full", timeStyle: "short"},
};
const UNITS = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

function timeText(at, style, locale) {
  if (style !== "R") return new Intl.DateTimeFormat(locale, STYLES[style]).format(at * 1000);
  const seconds = Math.round(at - Date.now() / 1000);
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) || UNITS.at(-1);
  return new Intl.RelativeTimeFormat(locale, {numeric: "auto"}).format(Math.trunc(seconds / size), unit);
}

// "Today at 10:44 PM", as above a message.
function stamp(iso, locale) {
  const date = new Date(iso), today = new Date();
  const time = new Intl.DateTimeFormat(locale, {timeStyle: "short"}).format(date);
  if (date.toDateString() === today.toDateString()) {
    const word = new Intl.RelativeTimeFormat(locale, {numeric: "auto"}).format(0, "day");
    return `${word[0].toUpperCase()}${word.slice(1)} ${time}`;
  }
  return `${new Intl.DateTimeFormat(locale, {dateStyle: "short"}).format(date)} ${time}`;
}
