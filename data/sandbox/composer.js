"use strict";
// The line below the messages: plain text, or a command with its options.

const composer = (() => {
  const $ = id => document.getElementById(id);
  const text = $("text"), form = $("command"), assist = $("assist");
  // The command that is written: its leaf, and what was given by option.
  let writing = null;
  let files = [];
  let marked = 0;
  let asked = 0;

  // Every command that can be run, subcommands by their whole name.
  function leaves() {
    const found = [];
    const walk = (node, path) => {
      const below = (node.options || []).filter(each => each.type <= 2);
      if (below.length) below.forEach(each => walk(each, [...path, each.name]));
      else found.push({name: path.join(" "), description: said(node, "description"), options: node.options || []});
    };
    page.commands.slash.forEach(each => walk(each, [each.name]));
    return found;
  }

  const said = (node, key) => (node[`${key}_localizations`] || {})[page.around.locale] || node[key] || "";

  function show(...nodes) {
    assist.replaceChildren(...nodes.flat(Infinity).filter(Boolean));
    assist.hidden = !assist.childElementCount;
    const on = assist.querySelector(".on");
    if (on) on.scrollIntoView({block: "nearest"});
  }

  // Plain text, or the beginning of a command.

  function typed() {
    text.style.height = "auto";
    text.style.height = `${Math.min(text.scrollHeight, 200)}px`;
    marked = 0;
    if (!text.value.startsWith("/")) return suggest();
    const line = text.value.slice(1);
    const whole = leaves().filter(each => line.startsWith(`${each.name} `)).sort((a, b) => b.name.length - a.name.length)[0];
    if (whole) return start(whole, line.slice(whole.name.length + 1));
    suggest();
  }

  function suggested() {
    const word = text.value.slice(1).toLowerCase().trim();
    const all = leaves();
    const first = all.filter(each => each.name.startsWith(word));
    return word ? [...first, ...all.filter(each => !first.includes(each) && each.name.includes(word))] : all;
  }

  function suggest() {
    if (!text.value.startsWith("/")) return show(chips());
    const found = suggested();
    show(el("div.title", {}, found.length ? "Commands" : "No matching commands"), found.map((each, index) => el(`button.option${index === marked ? ".on" : ""}`, {tabIndex: -1, onclick: () => start(each, "")},
      el("img.avatar", {src: "bot.svg", alt: "", width: 24, height: 24}),
      el("span", {}, el("b", {}, `/${each.name}`), " ", el("span.options-of", {}, each.options.filter(o => o.required).map(o => o.name).join(" ")), el("small", {}, each.description)))));
  }

  const chips = () => files.map((file, index) => el("div.chip", {}, `📎 ${file.name} `, el("button.plain", {"aria-label": "Remove", onclick: () => { files.splice(index, 1); suggest(); }}, "✕")));

  // A command.

  function start(leaf, rest) {
    writing = {leaf, given: new Map()};
    for (const option of leaf.options.filter(each => each.required)) give(option);
    read(rest);
    text.value = "";
    text.hidden = true;
    form.hidden = false;
    draw();
    focus([...writing.given.keys()].at(-1));
  }

  const give = (option, value = "") => writing.given.set(option.name, {option, text: value});

  // "a cat steps:20 seed:7", as it is copied: options by name, and before them the first one.
  function read(rest) {
    if (!rest.trim()) return;
    const known = writing.leaf.options;
    const parts = rest.split(/(?:^|\s)([a-z_]+):\s?/);
    const lead = parts.shift().trim();
    let at = known.find(each => each.required && each.type === 3) || known[0];
    if (lead && at) give(at, lead);
    for (let i = 0; i < parts.length; i += 2) {
      const option = known.find(each => each.name === parts[i]);
      if (option) give(at = option, parts[i + 1].trim());
      else if (at) give(at, `${(writing.given.get(at.name) || {text: ""}).text} ${parts[i]}:${parts[i + 1]}`.trim());
    }
  }

  function draw() {
    const {leaf, given} = writing;
    form.replaceChildren(el("b.name", {}, `/${leaf.name}`), ...[...given.values()].map(field),
      el("button.plain.more", {type: "button", tabIndex: -1, onclick: () => { const first = rest()[0]; if (first) { give(first); draw(); focus(first.name); } }, hidden: !rest().length}, `+${rest().length}`));
    if (!given.size) form.append(el("input.bare", {"aria-label": "Press Enter to send", onkeydown: keys, onfocus: () => advise(null)}));
  }

  const rest = () => writing.leaf.options.filter(each => !writing.given.has(each.name));

  function field(entry) {
    const {option} = entry;
    const box = option.type === 11
      ? el("button.button.secondary", {type: "button", onclick: () => pick(chosen => { entry.file = chosen[0]; draw(); focus(option.name); }), onkeydown: keys}, entry.file ? entry.file.name : "Choose a file, or drop it here")
      : el("input", {autocomplete: "off", inputMode: option.type === 4 ? "numeric" : option.type === 10 ? "decimal" : "text", oninput: () => changed(entry, box), onkeydown: keys});
    if (option.type !== 11) { box.value = entry.text; widen(box); }
    box.dataset.option = option.name;
    box.onfocus = () => { marked = -1; advise(entry); };
    return el("label.given", {}, el("span", {}, option.name), box);
  }

  const widen = box => { box.style.width = `${Math.min(Math.max(box.value.length + 2, 6), 60)}ch`; };

  function changed(entry, box) {
    entry.text = box.value;
    entry.value = undefined;
    widen(box);
    // "… steps:" inside a value begins the next option.
    const next = entry.text.match(/^(.*?)(?:^|\s)([a-z_]+):(.*)$/s);
    const option = next && writing.leaf.options.find(each => each.name === next[2] && each.name !== entry.option.name);
    if (option) { entry.text = next[1]; give(option, next[3].trim()); draw(); focus(option.name); return; }
    marked = entry.option.choices || entry.option.autocomplete ? 0 : -1;
    advise(entry);
  }

  // What may be chosen for an option, and what other options there are.
  async function advise(entry) {
    const {leaf} = writing;
    if (!entry) return show(el("div.title", {}, el("b", {}, `/${leaf.name}`), " ", leaf.description), el("div.note", {}, "Press Enter to send."), others());
    const about = el("div.title", {}, el("b", {}, entry.option.name), " ", said(entry.option, "description"));
    const turn = ++asked;
    const listed = choices => show(about, choices.slice(0, 25).map((each, index) => el(`button.option${index === marked ? ".on" : ""}`, {tabIndex: -1, onmousedown: e => e.preventDefault(), onclick: () => choose(entry, each)}, el("span", {}, said(each, "name")))), others());
    entry.choices = [];
    if (!entry.option.autocomplete) { entry.choices = fixed(entry); return listed(entry.choices); }
    if (!assist.childElementCount) listed([]);
    const answer = await page.act({act: "complete", name: leaf.name, option: entry.option.name, value: entry.text, options: given(entry)});
    if (turn !== asked || !writing) return;
    entry.choices = answer.choices || [];
    listed(entry.choices);
  }

  function fixed({option, text: word}) {
    const {members, channels, roles} = page.around;
    const of = {
      5: () => [{name: "True", value: true}, {name: "False", value: false}],
      6: () => members.map(each => ({name: each.name, value: {member: each.id}})),
      7: () => channels.filter(each => each.name).map(each => ({name: `#${each.name}`, value: {channel: each.id}})),
      8: () => roles.map(each => ({name: each.name, value: {role: each.id}})),
    };
    const all = option.choices && option.choices.length ? option.choices : (of[option.type] || (() => []))();
    const found = all.filter(each => said(each, "name").toLowerCase().includes(word.toLowerCase()));
    return found.length ? found : all;
  }

  const others = () => rest().length ? [el("div.title.second", {}, "Options"), rest().map(each => el("button.option.optional", {tabIndex: -1, onmousedown: e => e.preventDefault(), onclick: () => { give(each); draw(); focus(each.name); }}, el("span", {}, el("b", {}, each.name), el("small", {}, said(each, "description")))))] : [];

  function choose(entry, choice) {
    entry.text = said(choice, "name");
    entry.value = choice.value;
    draw();
    const names = [...writing.given.keys()];
    focus(names[names.indexOf(entry.option.name)]);
    marked = -1;
    advise(entry);
  }

  function focus(name) {
    const box = name === undefined ? form.querySelector("input") : form.querySelector(`[data-option="${name}"]`);
    if (box) { box.focus(); if (box.setSelectionRange) box.setSelectionRange(box.value.length, box.value.length); }
  }

  // Values by option; without `but`, which is asked about.
  function given(but) {
    const values = {};
    for (const entry of writing.given.values()) {
      if (entry === but || entry.option.type === 11) continue;
      const value = valueOf(entry);
      if (value !== undefined) values[entry.option.name] = value;
    }
    return values;
  }

  function valueOf(entry) {
    const {option, text: word} = entry;
    if (entry.value !== undefined) return entry.value;
    if (!word.trim()) return undefined;
    const match = fixed(entry).find(each => [said(each, "name"), String(each.value)].some(one => one.toLowerCase() === word.trim().toLowerCase()));
    if (match) return match.value;
    if (option.type === 4) return /^-?\d+$/.test(word.trim()) ? Number(word) : undefined;
    if (option.type === 10) return Number.isFinite(Number(word.replace(",", "."))) ? Number(word.replace(",", ".")) : undefined;
    return option.type === 3 && !(option.choices || []).length ? word : undefined;
  }

  function wrong(entry, message) {
    focus(entry.option.name);
    show(el("div.title.failure", {role: "alert"}, `${entry.option.name}: ${message}`), entry.choices && entry.choices.map(each => el("button.option", {tabIndex: -1, onclick: () => choose(entry, each)}, said(each, "name"))));
  }

  async function run() {
    const {leaf} = writing;
    const options = {};
    for (const entry of writing.given.values()) {
      const {option} = entry;
      const value = option.type === 11 ? entry.file && await encoded(entry.file) : valueOf(entry);
      if (value === undefined || value === null) {
        if (option.required || entry.text.trim()) return wrong(entry, entry.text.trim() ? (option.type === 4 ? "a whole number, please" : option.type === 10 ? "a number, please" : "choose one of these") : "this option is required");
        continue;
      }
      if (option.min_value !== undefined && value < option.min_value || option.max_value !== undefined && value > option.max_value) return wrong(entry, `from ${option.min_value ?? "…"} to ${option.max_value ?? "…"}`);
      if (option.max_length && value.length > option.max_length) return wrong(entry, `at most ${option.max_length} characters`);
      options[option.name] = value;
    }
    stop();
    page.run(null, {act: "command", name: leaf.name, options});
  }

  function stop(back = "") {
    writing = null;
    asked++;
    form.hidden = true;
    text.hidden = false;
    text.value = back;
    form.replaceChildren();
    typed();
    text.focus();
  }

  async function send() {
    if (writing) return run();
    const content = text.value.trim();
    if (content.startsWith("/") && suggested().length) return start(suggested()[marked] || suggested()[0], "");
    if (!content && !files.length) return;
    const sent = await Promise.all(files.map(encoded));
    files = [];
    text.value = "";
    typed();
    page.owing = true;
    await page.act({act: "send", content, files: sent});
  }

  // Keys inside a command.
  function keys(e) {
    const entry = writing.given.get(e.target.dataset.option);
    const choices = entry && entry.choices || [];
    if (e.isComposing) return;
    if (e.key === "Escape") { e.preventDefault(); stop(); return; }
    if ((e.key === "ArrowDown" || e.key === "ArrowUp") && choices.length) {
      e.preventDefault();
      marked = (marked + (e.key === "ArrowDown" ? 1 : -1) + choices.length) % choices.length;
      [...assist.querySelectorAll(".option:not(.optional)")].forEach((each, index) => each.classList.toggle("on", index === marked));
    } else if (e.key === "Enter" || e.key === "Tab" && !e.shiftKey) {
      // What is written already in full is not picked once more.
      const written = e.key === "Enter" && choices[marked] && said(choices[marked], "name").toLowerCase() === entry.text.trim().toLowerCase();
      if (written) entry.value = choices[marked].value;
      const pickable = choices[marked] && entry.value === undefined && (entry.text.trim() || e.key === "Tab" || marked > 0);
      if (pickable) { e.preventDefault(); choose(entry, choices[marked]); } else {
        e.preventDefault();
        if (e.key === "Enter") run();
        else {
          const names = [...writing.given.keys()];
          focus(names[names.indexOf(e.target.dataset.option) + 1] ?? e.target.dataset.option);
        }
      }
    } else if (e.key === "Backspace" && !e.target.value && (!entry || !entry.file)) {
      e.preventDefault();
      if (!entry || entry.option.required) return stop(`/${writing.leaf.name}`);
      writing.given.delete(entry.option.name);
      draw();
      focus([...writing.given.keys()].at(-1));
    }
  }

  // Files.

  function pick(done) {
    const box = document.getElementById("picker");
    box.value = "";
    box.onchange = () => box.files.length && done([...box.files]);
    box.click();
  }

  function take(found) {
    if (!found.length) return;
    const option = writing && (writing.leaf.options.find(each => each.type === 11 && !(writing.given.get(each.name) || {}).file));
    if (option) { give(option); writing.given.get(option.name).file = found[0]; draw(); focus(option.name); return; }
    files.push(...found);
    suggest();
    text.focus();
  }

  text.addEventListener("input", typed);
  text.addEventListener("keydown", e => {
    if (e.isComposing) return;
    const found = text.value.startsWith("/") ? suggested() : [];
    if ((e.key === "ArrowDown" || e.key === "ArrowUp") && found.length) {
      e.preventDefault();
      marked = (marked + (e.key === "ArrowDown" ? 1 : -1) + found.length) % found.length;
      suggest();
    } else if (e.key === "Tab" && found.length) { e.preventDefault(); start(found[marked], ""); }
    else if (e.key === "Escape") { text.value = ""; typed(); }
    else if (e.key === "Enter" && !e.shiftKey) { e.preventDefault(); send(); }
  });
  text.addEventListener("paste", e => { if (e.clipboardData.files.length) { e.preventDefault(); take([...e.clipboardData.files]); } });
  form.addEventListener("submit", e => e.preventDefault());
  $("go").onclick = send;
  $("attach").onclick = () => pick(take);
  document.addEventListener("dragover", e => { e.preventDefault(); document.body.classList.add("dropping"); });
  document.addEventListener("dragleave", e => { if (!e.relatedTarget) document.body.classList.remove("dropping"); });
  document.addEventListener("drop", e => { e.preventDefault(); document.body.classList.remove("dropping"); take([...e.dataTransfer.files]); });

  return {
    // Begin a line with what is given, such as "/imagine prompt:a red circle".
    write(line) { if (writing) stop(); text.value = line; typed(); if (!writing) text.focus(); },
    reset() { if (writing) stop(); else suggest(); },
  };
})();
