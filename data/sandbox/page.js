"use strict";
// The page: what the server streams, what is pressed, and what stands around the messages.

const page = {
  around: null,
  commands: {slash: [], menus: []},
  messages: new Map(),
  nodes: new Map(),
  waiting: new Set(),
  failures: new Map(),
  dismissed: new Set(),
  seat: {viewer: "", channel: ""},
  read: {},
  stream: null,
  // News waits while a button is held down: it must still be there when it is let go.
  held: false,
  stale: new Set(),
  owing: false,
  // Where the page scrolled to by itself, and a message to show after a change of channel.
  top: 0,
  goal: "",
  news: [],

  sit(viewer, channel) {
    page.seat = {viewer, channel};
    if (page.stream) page.stream.close();
    page.messages.clear();
    page.nodes.clear();
    page.failures.clear();
    page.log.replaceChildren();
    page.fresh = true;
    page.news = [];
    page.stream = new EventSource(`api/events?${new URLSearchParams(page.seat)}`);
    page.stream.onmessage = event => { page.news.push(JSON.parse(event.data)); page.flush(); };
    page.stream.onopen = () => { document.getElementById("lost").hidden = true; };
    page.stream.onerror = () => { document.getElementById("lost").hidden = false; };
    page.learn();
    document.body.classList.remove("open");
  },

  async learn() {
    const stream = page.stream;
    const response = await fetch(`api/commands?${new URLSearchParams(page.seat)}`);
    const found = await response.json();
    if (stream === page.stream) page.commands = found;
  },

  async act(what) {
    try {
      const response = await fetch("api/act", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({...page.seat, ...what})});
      return response.ok ? await response.json() : {failed: response.statusText};
    } catch (error) { return {failed: String(error)}; }
  },

  // Do what the bot answers, and show in reply what Discord would: a form, or that it failed.
  async run(m, what) {
    const answer = await page.act(what);
    if (answer.form) formOf(answer.form, async values => (await page.act({act: "submit", form: answer.form.key, values})).failed);
    if (answer.failed) page.fail(m, m && what.act !== "menu" ? "This interaction failed" : "The application did not respond");
    return answer;
  },

  async press(m, c) {
    const key = `${m.id} ${c.custom_id}`;
    page.failures.delete(m.id);
    page.waiting.add(key);
    page.redraw(m.id);
    await page.run(m, {act: "press", message: m.id, control: c.custom_id});
    page.waiting.delete(key);
    page.redraw(m.id);
  },

  choose: (m, c, values) => page.run(m, {act: "choose", message: m.id, control: c.custom_id, values}),
  react: (m, emoji, on) => page.act({act: "react", message: m.id, emoji, on}),

  fail(m, words) {
    if (m && page.messages.has(m.id)) { page.failures.set(m.id, words); page.redraw(m.id); return; }
    page.note(words, "failure");
  },

  dismiss(id) {
    page.dismissed.add(id);
    const node = page.nodes.get(id);
    if (node) node.remove();
    page.nodes.delete(id);
  },

  show(id) {
    const node = page.nodes.get(id);
    if (!node) return;
    node.scrollIntoView({block: "center"});
    node.classList.add("found");
    setTimeout(() => node.classList.remove("found"), 1500);
  },

  // A line of the page's own among the messages.
  note(text, kind = "") {
    const node = el(`div.own${kind ? `.${kind}` : ""}`, {role: "status"}, el("img.avatar", {src: "bot.svg", alt: "", width: 24, height: 24}), el("span", {html: markdown(text, names)}), el("button.plain", {onclick: () => node.remove(), "aria-label": "Dismiss"}, "✕"));
    page.log.append(node);
    page.bottom = true;
    page.settle();
  },

  // Below what was said into the channel, which the bot does not see.
  hint() {
    page.owing = false;
    for (const old of page.log.querySelectorAll(".own.hint")) old.remove();
    page.note("Penultimate does not read chat. Type `/` to see its commands: `/imagine prompt:a red circle`", "hint");
  },

  flush() {
    if (page.held) return;
    for (const news of page.news.splice(0)) page.take(news);
    for (const id of page.stale) page.redraw(id);
    page.stale.clear();
  },

  take(news) {
    page.around = news.around;
    if (news.first) {
      page.seat = {viewer: news.around.viewer, channel: news.around.channel};
      for (const id of [...page.nodes.keys()]) if (!news.messages.some(each => each.id === id)) page.remove(id);
    }
    page.bottom = page.fresh || page.log.scrollHeight - page.log.scrollTop - page.log.clientHeight < 80;
    page.surround();
    for (const m of news.messages) {
      page.messages.set(m.id, m);
      page.redraw(m.id);
    }
    news.gone.forEach(page.remove);
    page.group();
    if (page.owing && news.messages.some(each => each.author.id === page.around.viewer)) page.hint();
    page.settle();
    page.fresh = false;
    if (page.nodes.has(page.goal)) { page.show(page.goal); page.goal = ""; }
  },

  remove(id) {
    const node = page.nodes.get(id);
    if (node) node.remove();
    page.nodes.delete(id);
    page.messages.delete(id);
  },

  redraw(id) {
    const m = page.messages.get(id);
    if (!m || page.dismissed.has(id)) return;
    if (page.held) { page.stale.add(id); return; }
    const node = messageOf(m), old = page.nodes.get(id);
    tell(node);
    page.nodes.set(id, node);
    if (old) {
      const focused = old.contains(document.activeElement) && document.activeElement.dataset.key;
      node.classList.toggle("joined", old.classList.contains("joined"));
      old.replaceWith(node);
      const again = focused && node.querySelector(`[data-key="${CSS.escape(focused)}"]`);
      if (again) again.focus({preventScroll: true});
      return;
    }
    // Identifiers grow with time and all have as many digits.
    const later = [...page.nodes.entries()].filter(([other]) => other > id && page.nodes.get(other).isConnected).sort(([a], [b]) => a < b ? -1 : 1)[0];
    if (later) later[1].before(node); else page.log.append(node);
  },

  // Messages that follow each other closely share a head.
  group() {
    let before = null;
    for (const node of page.log.querySelectorAll(".message")) {
      const m = page.messages.get(node.dataset.id);
      const joined = before && before.author.id === m.author.id && !node.querySelector(".reply") && !(m.flags & EPHEMERAL) && new Date(m.timestamp) - new Date(before.timestamp) < 420000;
      node.classList.toggle("joined", !!joined);
      before = m;
    }
  },

  settle() {
    if (!page.bottom) return;
    page.log.scrollTop = page.log.scrollHeight;
    page.top = page.log.scrollTop;
  },

  // What stands around the messages.
  surround() {
    const {guild, bot, channels, members, viewer, channel, locale, locales} = page.around;
    const read = page.read[viewer] ||= {};
    const here = channels.find(each => each.id === channel);
    read[channel] = here.last;
    document.getElementById("guild").textContent = guild;
    document.title = `${here.name ? `#${here.name}` : `@${bot.name}`} | ${bot.name} sandbox`;
    document.getElementById("title").replaceChildren(here.name ? el("span.hash", {}, "#") : el("img.avatar", {src: "bot.svg", alt: "", width: 24, height: 24}), here.name || bot.name);
    document.getElementById("topic").textContent = here.topic || (here.name ? "" : "Direct messages");
    document.getElementById("text").placeholder = `Message ${here.name ? `#${here.name}` : `@${bot.name}`}, or / for commands`;
    const place = each => el(`button.place${each.id === channel ? ".here" : ""}${(read[each.id] || "0") !== each.last && each.last !== "0" && each.id !== channel ? ".unread" : ""}`, {onclick: () => page.sit(viewer, each.id)}, each.name ? el("span.hash", {}, "#") : el("img.avatar", {src: "bot.svg", alt: "", width: 24, height: 24}), each.name || bot.name);
    document.getElementById("places").replaceChildren(el("h3", {}, "Text channels"), ...channels.filter(each => each.name).map(place), el("h3", {}, "Direct messages"), ...channels.filter(each => !each.name).map(place));
    document.getElementById("drawer").classList.toggle("unread", !!document.querySelector(".place.unread"));
    const options = (node, list, chosen) => { if (document.activeElement !== node || node.value !== chosen) node.replaceChildren(...list.map(([value, label]) => el("option", {value, selected: value === chosen}, label))); };
    options(document.getElementById("viewer"), members.map(each => [each.id, each.name]), viewer);
    options(document.getElementById("locale"), locales.map(each => [each, new Intl.DisplayNames([each], {type: "language"}).of(each)]), locale);
    if (page.fresh) page.log.prepend(page.welcome(here));
  },

  welcome(here) {
    const {bot, prompts} = page.around;
    if (!here.name) return el("section.welcome", {}, el("img.avatar", {src: "bot.svg", alt: "", width: 72, height: 72}), el("h2", {}, bot.name), el("p", {}, "Your direct messages with the bot. What is sent to you alone comes here, such as exports."));
    if (!prompts.length || here.id !== page.around.channels[0].id) return el("section.welcome", {}, el("h2", {}, `Welcome to #${here.name}!`), el("p", {}, here.topic || ""));
    return el("section.welcome", {}, el("img.avatar", {src: "bot.svg", alt: "", width: 72, height: 72}), el("h2", {}, `Welcome to ${bot.name}`),
      el("p", {}, "This is the real bot and the real engine in a Discord on your machine. Nothing leaves it, and nothing is kept when it ends."),
      el("p", {}, "Type ", el("code", {}, "/imagine"), " below and a prompt, press Enter, then turn ", el("b", {}, "clip skip"), " under the image. These prompts work with the model:"),
      el("div.row", {}, prompts.map(each => el("button.button.secondary", {onclick: () => composer.write(`/imagine prompt:${each}`)}, each))));
  },

  start() {
    page.log = document.getElementById("log");
    // A click comes after its pointer is let go; another press may come before that.
    let releasing = 0;
    const release = () => { releasing = setTimeout(() => { page.held = false; page.flush(); }); };
    document.addEventListener("pointerdown", event => { clearTimeout(releasing); page.held = true; if (!event.target.closest("#menu")) closeMenu(); }, true);
    for (const end of ["pointerup", "pointercancel", "dragend"]) document.addEventListener(end, release, true);
    addEventListener("blur", release);
    document.addEventListener("click", event => {
      const spoiler = event.target.closest(".spoiler"), command = event.target.closest("[data-command]");
      const elsewhere = event.target.closest("a") && event.target.closest("a").href.match(/\/channels\/[@\w]+\/(\d+)\/(\d+)$/);
      if (elsewhere) {
        event.preventDefault();
        page.goal = elsewhere[2];
        if (elsewhere[1] !== page.seat.channel) page.sit(page.seat.viewer, elsewhere[1]);
        else { page.show(page.goal); page.goal = ""; }
      }
      if (spoiler) spoiler.classList.add("shown");
      if (command) composer.write(`/${command.dataset.command} `);
      if (!event.target.closest("#side, #drawer")) document.body.classList.remove("open");
    });
    document.addEventListener("keydown", event => {
      const veil = document.getElementById("veil");
      if (event.key === "Escape" && !veil.hidden) { veil.hidden = true; veil.replaceChildren(); }
    });
    document.getElementById("drawer").onclick = () => document.body.classList.toggle("open");
    document.getElementById("viewer").onchange = event => { composer.reset(); page.sit(event.target.value, page.around.channels.some(each => each.id === page.seat.channel && each.name) ? page.seat.channel : ""); };
    document.getElementById("locale").onchange = async event => {
      await page.act({act: "speak", locale: event.target.value});
      composer.reset();
      page.sit(page.seat.viewer, page.seat.channel);
    };
    // Only the reader's own scrolling; a picture may have grown since the page's.
    page.log.addEventListener("scroll", () => { if (Math.abs(page.log.scrollTop - page.top) > 1) page.bottom = page.log.scrollHeight - page.log.scrollTop - page.log.clientHeight < 80; });
    new ResizeObserver(() => page.settle()).observe(page.log);
    setInterval(() => page.around && tell(page.log), 10000);
    page.sit("", "");
    document.getElementById("text").focus();
  },
};

page.start();
