"use strict";
// Messages and their components as elements. What a press does stands in page.js.

const EPHEMERAL = 1 << 6, LOADING = 1 << 7, V2 = 1 << 15;
const STYLE = {1: "primary", 2: "secondary", 3: "success", 4: "danger", 5: "secondary link"};
const COLOURS = ["#5865f2", "#3ba55d", "#eb459e", "#faa61a", "#ed4245"];

function el(tag, values = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const node = document.createElement(name);
  if (classes.length) node.className = classes.join(" ");
  for (const [key, value] of Object.entries(values)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on") || key in node && typeof value !== "string") node[key] = value;
    else if (key === "html") node.innerHTML = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== false));
  return node;
}

const local = url => url.replace(/^https:\/\/cdn\.simcord\.invalid\//, "cdn/");
const emojiText = emoji => emoji ? emoji.name : "";
const hidden = node => { const box = el("div.hidden-media", {tabIndex: 0, onclick: e => { box.classList.add("shown"); e.stopPropagation(); }}, node); return box; };

function avatar(user, size) {
  if (user.id === page.around.bot.id) return el("img.avatar", {src: "bot.svg", alt: "", width: size, height: size});
  const colour = COLOURS[Math.max(0, page.around.members.findIndex(each => each.id === user.id)) % COLOURS.length];
  return el("span.avatar", {style: `background:${colour};width:${size}px;height:${size}px;line-height:${size}px;font-size:${size * 0.45}px`, "aria-hidden": "true"}, name(user)[0].toUpperCase());
}

const name = user => user.name || user.global_name || user.username;

function names(kind, id) {
  const {members, channels, bot} = page.around;
  if (kind === "#") return (channels.find(each => each.id === id) || {}).name || "unknown";
  return ([...members, bot].find(each => each.id === id) || {name: "unknown"}).name;
}

const prose = text => { const node = el("div.prose", {html: markdown(text, names)}); tell(node); return node; };

function tell(root) {
  for (const node of root.querySelectorAll("time[data-at]")) {
    node.textContent = timeText(+node.dataset.at, node.dataset.style, page.around.locale);
    node.title = timeText(+node.dataset.at, "F", page.around.locale);
  }
}

function picture(url, alt, values = {}) {
  const src = local(url);
  return el("img.picture", {src, alt: alt || "", decoding: "sync", tabIndex: 0, onload: () => page.settle(), onclick: () => enlarge(src, alt), onkeydown: e => e.key === "Enter" && enlarge(src, alt), ...values});
}

// A component of a message; `m` is the message.
function component(c, m) {
  switch (c.type) {
    case 1: return el("div.row", {}, c.components.map(each => component(each, m)));
    case 2: return buttonOf(c, m);
    case 3: case 5: case 6: case 7: case 8: return selectOf(c, m);
    case 9: return el("div.section", {}, el("div.texts", {}, c.components.map(each => component(each, m))), component(c.accessory, m));
    case 10: return prose(c.content);
    case 11: { const image = picture(c.media.url, c.description, {}); image.classList.add("thumbnail"); return c.spoiler ? hidden(image) : image; }
    case 12: return el(`div.gallery.of${Math.min(c.items.length, 5)}`, {}, c.items.map(item => { const image = picture(item.media.url, item.description); return item.spoiler ? hidden(image) : image; }));
    case 13: return fileCard({url: c.file.url, filename: c.name || c.file.url.split("/").pop(), size: c.size});
    case 14: return el(c.divider === false ? "div.gap" : "hr");
    case 17: {
      const colour = c.accent_color === undefined || c.accent_color === null ? "" : `border-left-color:#${c.accent_color.toString(16).padStart(6, "0")}`;
      const box = el("div.container", {style: colour}, c.components.map(each => component(each, m)));
      return c.spoiler ? hidden(box) : box;
    }
  }
  return el("div.muted", {}, `(component ${c.type})`);
}

function buttonOf(c, m) {
  const content = [c.emoji ? el("span.emoji", {}, emojiText(c.emoji)) : null, c.label ? el("span", {}, c.label) : null];
  if (c.style === 5) return el("a.button.secondary", {href: c.url, target: "_blank", rel: "noreferrer"}, content, " ↗");
  const key = `${m.id} ${c.custom_id}`;
  return el(`button.button.${STYLE[c.style]}`, {"data-key": key, disabled: !!c.disabled, "aria-busy": page.waiting.has(key) ? "true" : null, onclick: () => page.press(m, c)}, content);
}

function selectOf(c, m) {
  const options = optionsOf(c);
  const chosen = options.filter(each => each.default).map(each => each.label);
  const open = anchor => menu(anchor, options, {min: c.min_values ?? 1, max: c.max_values ?? 1}, values => page.choose(m, c, values));
  return el("button.select", {"data-key": `${m.id} ${c.custom_id}`, disabled: !!c.disabled, "aria-haspopup": "listbox", onclick: e => open(e.currentTarget)},
    el(chosen.length ? "span" : "span.muted", {}, chosen.join(", ") || c.placeholder || "Make a selection"), el("span.arrow", {}, "⌄"));
}

// Options as {label, value, description}; people and places are those of the sandbox.
function optionsOf(c) {
  const {members, bot, roles, channels} = page.around;
  const people = () => [...members].map(each => ({label: each.name, value: {member: each.id}}));
  const ranks = () => roles.map(each => ({label: `@${each.name.replace(/^@/, "")}`, value: {role: each.id}}));
  const marked = list => { const set = new Set((c.default_values || []).map(each => each.id)); return list.map(each => ({...each, default: set.has(Object.values(each.value)[0])})); };
  switch (c.type) {
    case 5: return marked(people());
    case 6: return marked(ranks());
    case 7: return marked([...people(), ...ranks()]);
    case 8: return marked(channels.filter(each => each.name).map(each => ({label: `# ${each.name}`, value: {channel: each.id}})));
  }
  return c.options || [];
}

function fileCard(file) {
  const size = file.size ? `${file.size < 1024 ? `${file.size} B` : `${(file.size / 1024).toFixed(1)} KB`}` : "";
  return el("a.file", {href: local(file.url), download: file.filename}, el("span.icon", {}, "📄"), el("span", {}, el("b", {}, file.filename), el("small", {}, size)), el("span.arrow", {}, "⤓"));
}

function attachmentOf(file) {
  if (!/^image\//.test(file.content_type || "")) return fileCard(file);
  const image = picture(file.url, file.description || file.filename);
  return el("div.gallery.of1", {}, file.filename.startsWith("SPOILER_") ? hidden(image) : image);
}

function embedOf(embed) {
  const colour = embed.color === undefined || embed.color === null ? "" : `border-left-color:#${embed.color.toString(16).padStart(6, "0")}`;
  return el("div.container.embed", {style: colour},
    embed.author ? el("small", {}, embed.author.name) : null,
    embed.title ? el("b", {}, embed.url ? el("a", {href: embed.url, target: "_blank", rel: "noreferrer"}, embed.title) : embed.title) : null,
    embed.description ? prose(embed.description) : null,
    (embed.fields || []).map(field => el("div.field", {}, el("b", {}, field.name), prose(field.value))),
    embed.image ? picture(embed.image.url, "") : null,
    embed.footer ? el("small.muted", {}, embed.footer.text) : null);
}

function messageOf(m) {
  const mine = m.author.id === page.around.viewer;
  const ephemeral = m.flags & EPHEMERAL, v2 = m.flags & V2;
  const node = el(`article.message${ephemeral ? ".ephemeral" : ""}${m.pinged ? ".mentioned" : ""}`, {"data-id": m.id, oncontextmenu: e => contextMenu(e, m)});
  const used = m.interaction_metadata && m.interaction_metadata.name ? m.interaction_metadata : null;
  const answered = m.referenced_message;
  if (used) node.append(el("div.reply", {}, avatar(used.user, 16), el("b", {}, name(used.user)), " used ", el("span.mention", {}, (used.command_type || 1) === 1 ? `/${used.name}` : used.name)));
  else if (answered) node.append(el("div.reply", {onclick: () => page.show(answered.id)}, avatar(answered.author, 16), el("b", {}, name(answered.author)), el("span.excerpt", {}, gist(answered))));
  const body = el("div.body");
  if (m.flags & LOADING) body.append(el("div.thinking", {}, el("i"), el("i"), el("i"), ` ${page.around.bot.name} is thinking…`));
  if (m.content) body.append(prose(m.content));
  body.append(...m.embeds.map(embedOf));
  if (!v2) body.append(...m.attachments.map(attachmentOf));
  body.append(...m.components.map(each => component(each, m)));
  if (m.edited_timestamp && m.content && !m.author.bot) body.append(el("small.muted", {}, "(edited)"));
  if (m.reactions.length) body.append(el("div.reactions", {}, m.reactions.map(each => el(`button.reaction${each.me ? ".me" : ""}`, {onclick: () => page.react(m, each.emoji.name, !each.me)}, each.emoji.name, ` ${each.count}`))));
  const failure = page.failures.get(m.id);
  if (failure) body.append(el("div.failure", {role: "alert"}, failure));
  if (ephemeral) body.append(el("div.dismiss", {}, "👁 Only you can see this · ", el("button.plain", {onclick: () => page.dismiss(m.id)}, "Dismiss message")));
  node.append(
    el("div.gutter", {}, avatar(m.author, 40)),
    el("div.content", {},
      el("div.head", {}, el("b", {}, name(m.author)), m.author.bot ? el("span.tag", {}, "APP") : null, el("time.muted", {datetime: m.timestamp}, stamp(m.timestamp, page.around.locale))),
      body));
  if (!ephemeral) node.append(el("div.tools", {},
    el("button.plain", {title: "Add reaction", "aria-label": "Add reaction", onclick: e => reactionMenu(e.currentTarget, m)}, "🙂"),
    el("button.plain", {title: "More", "aria-label": "More", onclick: e => moreMenu(e.currentTarget, m, mine)}, "⋯")));
  return node;
}

// One line of what a message says, for a reply.
function gist(m) {
  const texts = list => list.flatMap(c => c.type === 10 ? [c.content] : texts(c.components || []));
  const text = [m.content, ...texts(m.components)].join(" ").replace(/-# |[*_`#]|<t:\d+:\w>/g, "").replace(/<@!?(\d+)>/g, (_, id) => `@${names("@", id)}`).trim();
  return text.split("\n")[0].slice(0, 120) || "Click to see attachment";
}

// A list over the page. `values` are given all at once, or one by one where only one may be chosen.
function menu(anchor, options, {min = 1, max = 1, search = options.length > 10} = {}, done) {
  closeMenu();
  const chosen = new Set(options.filter(each => each.default));
  const finish = () => { closeMenu(); done([...chosen].map(each => each.value)); };
  const list = el("div.options", {role: "listbox"});
  const draw = word => list.replaceChildren(...options.filter(each => each.label.toLowerCase().includes(word)).map(each => el(`button.option${chosen.has(each) ? ".on" : ""}`, {role: "option", disabled: !!each.disabled, onclick: e => {
    e.stopPropagation();
    if (max === 1) { closeMenu(); done([each.value]); return; }
    if (!chosen.delete(each) && chosen.size < max) chosen.add(each);
    draw(word);
  }}, each.emoji ? el("span.emoji", {}, emojiText(each.emoji)) : null, el("span", {}, each.label, each.description ? el("small", {}, each.description) : null), max > 1 || chosen.has(each) ? el("span.tick", {}, chosen.has(each) ? "✓" : "") : null)));
  draw("");
  const box = el("div#menu.menu", {onclick: e => e.stopPropagation()},
    search ? el("input", {placeholder: "Search", "aria-label": "Search", oninput: e => draw(e.target.value.toLowerCase())}) : null, list,
    max > 1 || min === 0 ? el("div.row", {}, el("button.button.primary", {onclick: () => chosen.size >= min && finish()}, "Done"), min === 0 ? el("button.button.secondary", {onclick: () => { chosen.clear(); finish(); }}, "Clear") : null) : null);
  box.id = "menu";
  document.body.append(box);
  const at = anchor.getBoundingClientRect(), size = box.getBoundingClientRect();
  box.style.width = `${Math.min(Math.max(at.width, 220), innerWidth - 16)}px`;
  box.style.left = `${Math.max(8, Math.min(at.left, innerWidth - box.offsetWidth - 8))}px`;
  const below = innerHeight - at.bottom - 12, above = at.top - 12, down = below >= Math.min(size.height, 320) || below >= above;
  box.style.maxHeight = `${Math.min(400, down ? below : above)}px`;
  if (down) box.style.top = `${at.bottom + 4}px`; else box.style.bottom = `${innerHeight - at.top + 4}px`;
  (box.querySelector(".option.on") || box.querySelector("input, .option") || box).focus({preventScroll: false});
  box.onkeydown = e => {
    const all = [...box.querySelectorAll(".option")], index = all.indexOf(document.activeElement);
    if (e.key === "ArrowDown" || e.key === "ArrowUp") { e.preventDefault(); (all[index + (e.key === "ArrowDown" ? 1 : -1)] || all[0]).focus(); }
    if (e.key === "Escape") { e.stopPropagation(); closeMenu(); anchor.focus(); }
  };
}

function closeMenu() { const open = document.getElementById("menu"); if (open) open.remove(); }

const REACTIONS = ["🎲", "⬆️", "⬇️", "✉️", "❌", "👍"];

function reactionMenu(anchor, m) {
  const said = {"🎲": "another seed", "⬆️": "clip skip one up", "⬇️": "clip skip one down", "✉️": "send me the image", "❌": "delete"};
  menu(anchor, REACTIONS.map(each => ({label: each, value: each, description: said[each]})), {search: false}, ([emoji]) => page.react(m, emoji, true));
}

function moreMenu(anchor, m, mine) {
  const apps = page.commands.menus.map(each => ({label: (each.name_localizations || {})[page.around.locale] || each.name, value: () => page.run(m, {act: "menu", message: m.id, name: each.name}), description: page.around.bot.name}));
  const own = mine ? [{label: "Delete message", value: () => page.act({act: "delete", message: m.id})}] : [];
  menu(anchor, [...apps, ...own, {label: "Add reaction…", value: () => reactionMenu(anchor, m)}], {search: false}, ([run]) => run());
}

function contextMenu(event, m) {
  if (event.target.closest("a, input, textarea") || String(getSelection())) return;
  event.preventDefault();
  const point = {getBoundingClientRect: () => ({left: event.clientX, top: event.clientY, bottom: event.clientY, width: 0}), focus() {}};
  moreMenu(point, m, m.author.id === page.around.viewer);
}

// A picture over the page: its own pixels where they do not fit, so that a sheet can be read.
function enlarge(src, alt) {
  const veil = document.getElementById("veil");
  const image = el("img", {src, alt: alt || ""});
  const close = () => { veil.hidden = true; veil.replaceChildren(); };
  const fit = whole => image.classList.toggle("whole", whole);
  image.onload = () => {
    const small = image.naturalWidth < Math.min(innerWidth, 512);
    if (small) image.style.width = `${Math.min(innerWidth - 32, innerHeight - 96, image.naturalWidth * 4)}px`;
    // Where the whole would be less than half as large, its pixels are shown and can be moved.
    fit(!small && image.naturalWidth <= 1.5 * innerWidth && image.naturalHeight <= 1.5 * innerHeight);
  };
  image.onclick = e => { e.stopPropagation(); fit(!image.classList.contains("whole")); };
  veil.replaceChildren(el("div.scroller", {}, image), el("div.bar", {}, el("a.button.secondary", {href: src, target: "_blank"}, "Open in browser"), el("a.button.secondary", {href: src, download: src.split("/").pop()}, "Save"), el("button.button.secondary", {onclick: close}, "Close")));
  veil.hidden = false;
  veil.onclick = e => { if (!e.target.closest(".bar")) close(); };
  veil.querySelector("button").focus();
}

// A form of the bot's.
function formOf(form, done) {
  const veil = document.getElementById("veil");
  const read = new Map();
  const close = () => { veil.hidden = true; veil.replaceChildren(); };
  const error = el("div.failure", {role: "alert"});
  const control = c => {
    switch (c.type) {
      case 4: {
        const box = el(c.style === 2 ? "textarea" : "input", {placeholder: c.placeholder, required: c.required !== false, minLength: c.min_length, maxLength: c.max_length, rows: c.style === 2 ? "4" : null, autocomplete: "off"});
        box.value = c.value || "";
        read.set(c.custom_id, () => box.value);
        return box;
      }
      case 3: case 5: case 6: case 7: case 8: {
        const options = optionsOf(c);
        let values = options.filter(each => each.default).map(each => each.value);
        const label = el("span");
        const draw = () => { label.textContent = options.filter(each => values.includes(each.value)).map(each => each.label).join(", ") || c.placeholder || "Make a selection"; };
        draw();
        read.set(c.custom_id, () => values.length || c.required !== false ? values : undefined);
        return el("button.select", {type: "button", onclick: e => { e.stopPropagation(); menu(e.currentTarget, options.map(each => ({...each, default: values.includes(each.value)})), {min: c.required === false ? 0 : c.min_values ?? 1, max: c.max_values ?? 1}, found => { values = found; draw(); }); }}, label, el("span.arrow", {}, "⌄"));
      }
      case 19: {
        const box = el("input", {type: "file", multiple: (c.max_values ?? 1) > 1, required: !!c.required});
        read.set(c.custom_id, async () => box.files.length ? Promise.all([...box.files].map(encoded)) : undefined);
        return box;
      }
      case 21: case 22: {
        const boxes = c.options.map(each => [el("input", {type: c.type === 21 ? "radio" : "checkbox", name: c.custom_id, checked: !!each.default}), each]);
        read.set(c.custom_id, () => { const on = boxes.filter(([box]) => box.checked).map(([, each]) => each.value); return c.type === 22 ? on : on[0]; });
        return el("div", {}, boxes.map(([box, each]) => el("label.choice", {}, box, el("span", {}, each.label, each.description ? el("small", {}, each.description) : null))));
      }
      case 23: {
        const box = el("input", {type: "checkbox", checked: !!c.default});
        read.set(c.custom_id, () => box.checked);
        return box;
      }
    }
    return el("div.muted", {}, `(component ${c.type})`);
  };
  const field = c => {
    if (c.type === 10) return prose(c.content);
    if (c.type === 1) return el("div", {}, c.components.map(each => labelled(each.label, "", each)));
    if (c.type === 18) return labelled(c.label, c.description, c.component);
    return control(c);
  };
  const labelled = (label, description, c) => el("div.field", {}, el("label", {}, label, c.required === false ? null : el("span.star", {}, " *")), description ? el("small", {}, description) : null, control(c));
  const box = el("form.form", {onclick: e => e.stopPropagation(), onsubmit: async e => {
    e.preventDefault();
    const values = {};
    for (const [key, value] of read) { const found = await value(); if (found !== undefined) values[key] = found; }
    const failed = await done(values);
    if (failed) error.textContent = "Something went wrong. Try again."; else close();
  }}, el("h3", {}, el("img.avatar", {src: "bot.svg", alt: "", width: 24, height: 24}), form.title), form.components.map(field), error,
    el("div.row.end", {}, el("button.button.secondary", {type: "button", onclick: close}, "Cancel"), el("button.button.primary", {type: "submit"}, "Submit")));
  veil.replaceChildren(el("div.scroller", {}, box));
  veil.hidden = false;
  veil.onclick = null;
  const first = box.querySelector("input, textarea");
  if (first) first.focus();
}

// A file as the server takes it.
async function encoded(file) {
  const url = await new Promise((resolve, reject) => { const reader = new FileReader(); reader.onload = () => resolve(reader.result); reader.onerror = reject; reader.readAsDataURL(file); });
  return {file: file.name, data: url.slice(url.indexOf(",") + 1)};
}
