// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0
// What the pages do beyond what the server does: stay up to date, keys, times of here. All of it works without this file.
"use strict";
(() => {
  const body = document.body, words = body.dataset;
  const pulse = document.getElementById("pulse");
  const language = document.documentElement.lang;
  const skew = Date.parse(words.now) - Date.now();

  // Times: how long ago, and on the day of here.
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" });
  const exact = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" });
  const clock = new Intl.DateTimeFormat(language, { timeStyle: "short" });
  function age(time) {
    const seconds = (Date.parse(time) - Date.now() - skew) / 1000, size = Math.abs(seconds);
    for (const [unit, length] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
      if (size >= length) return relative.format(Math.round(seconds / length), unit);
    }
    return relative.format(Math.round(seconds), "second");
  }
  function tell(root) {
    for (const element of root.querySelectorAll("time[datetime]")) {
      element.textContent = age(element.dateTime);
      element.title = exact.format(new Date(element.dateTime));
    }
    for (const button of root.querySelectorAll("button.copy")) button.hidden = !navigator.clipboard;
  }
  tell(document);
  setInterval(() => tell(document), 15000);

  // Whether what is shown is what is.
  let lost = 0;
  function alive(state, since) {
    if (!pulse) return;
    pulse.className = "pulse " + state;
    const text = { live: words.liveWord, reconnecting: words.reconnecting, stale: words.stale + " " + (since ? clock.format(new Date(since)) : "") }[state];
    if (pulse.textContent !== text) pulse.textContent = text;
  }
  setInterval(() => { if (lost && Date.now() - lost > 30000) alive("stale", lost); }, 5000);
  function onPulse(event) {
    const now = JSON.parse(event.data), count = document.getElementById("needs-count");
    lost = 0;
    if (now.title) document.title = now.title + " · Slipway";
    alive(now.stale ? "stale" : "live", now.stale);
    if (count && count.textContent !== String(now.needs)) {
      count.textContent = now.needs;
      count.parentElement.classList.toggle("some", now.needs > 0);
    }
  }

  // Browsers have six connections to a site over plain HTTP/1.1: four may be streams, of all tabs together, or the next page hangs.
  const slots = (performance.getEntriesByType("navigation")[0] || {}).nextHopProtocol === "h2" ? 0 : 4;
  async function slot() {
    if (!slots || !navigator.locks) return () => {};
    for (let i = 0; i < slots; i++) {
      const free = await new Promise((taken) => navigator.locks.request("slipway-stream-" + i, { ifAvailable: true },
        (lock) => (lock ? new Promise((release) => taken(release)) : taken(null))));
      if (free) return free;
    }
    return null;
  }

  // One stream a tab, if there is one left; a tab that is not looked at gives it up after a while. Without one, and where something
  // in between keeps events back, the page is asked for now and then instead.
  function stream(url, handlers, ask) {
    let source, hiding, retry, silence, free, wanted = true;
    async function open() {
      stop();
      wanted = true;
      free = free || await slot();
      if (!wanted || source) return;
      if (!free) { poll(open); return; }
      silence = setTimeout(() => { stop(); poll(poll); }, 25000);
      source = new EventSource(url());
      source.addEventListener("pulse", () => clearTimeout(silence));
      for (const [name, handle] of Object.entries(handlers)) source.addEventListener(name, handle);
      source.addEventListener("pulse", onPulse);
      source.onerror = () => {
        if (!lost) lost = Date.now();
        alive("reconnecting");
        if (source && source.readyState === EventSource.CLOSED) retry = setTimeout(open, 5000);
      };
    }
    async function poll(next) {
      try {
        const old = await ask();
        lost = 0;
        alive(old ? "stale" : "live", Date.now());
        if (wanted) retry = setTimeout(next, 10000, next);
      } catch {
        if (!lost) lost = Date.now();
        alive("reconnecting");
        if (wanted) retry = setTimeout(open, 5000);
      }
    }
    function stop() { if (source) source.close(); source = null; clearTimeout(retry); clearTimeout(silence); }
    function close() { wanted = false; stop(); if (free) free(); free = null; }
    document.addEventListener("visibilitychange", () => {
      clearTimeout(hiding);
      if (document.hidden) hiding = setTimeout(close, 30000);
      else if (!wanted) open();
    });
    addEventListener("pagehide", close);
    if (document.hidden) hiding = setTimeout(close, 30000); // opened in the background
    open();
    return close;
  }
  const replace = (event) => put(JSON.parse(event.data));
  async function refresh() {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(answer.status);
    if (answer.redirected) { location.reload(); return false; } // signed out
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.title = page.title;
    for (const part of page.querySelectorAll("main .part")) put({ id: part.id, sum: part.dataset.sum, html: part.outerHTML });
    return page.querySelector("#pulse.stale");
  }
  const waiting = new Map(); // parts that came while somebody was typing
  function put(piece) {
    const old = document.getElementById(piece.id), focus = document.activeElement, within = old && old.contains(focus);
    waiting.delete(piece.id);
    if (!old || old.dataset.sum === piece.sum) return;
    // What somebody is typing into is not taken away from under him: it is put in its place when he leaves.
    // And what somebody is pressing stays until he has let it go.
    if (within && focus.matches("input, textarea, select") || old.matches(":active")) { waiting.set(piece.id, piece); return; }
    const fresh = document.createElement("template");
    fresh.innerHTML = piece.html;
    const next = fresh.content.firstElementChild;
    // What was opened stays open, and what was typed stays typed.
    const pairs = (selector, keep) => {
      const before = [...old.querySelectorAll(selector)], after = [...next.querySelectorAll(selector)];
      if (before.length === after.length && before.every((e, i) => e.name === after[i].name)) before.forEach((e, i) => keep(e, after[i]));
    };
    pairs("details", (from, to) => { to.open = from.open; });
    pairs("input:not([type=hidden]), textarea, select", (from, to) => { if (from.type === "checkbox") to.checked = from.checked; else if (from.value !== from.defaultValue) to.value = from.value; });
    tell(next);
    old.replaceWith(next);
    next.querySelectorAll('input[name="reason"]').forEach(fill);
    if (within) {
      const same = [...next.querySelectorAll("a, button, summary")].find((e) => e.textContent === focus.textContent);
      next.tabIndex = -1;
      (same || next).focus();
    }
    choose(chosen);
  }
  const catchUp = () => setTimeout(() => { for (const piece of [...waiting.values()]) put(piece); });
  for (const moment of ["focusout", "pointerup", "pointercancel"]) addEventListener(moment, catchUp);
  // One entry of the lists is chosen with j and k: first what needs somebody.
  let chosen = -1, chosenLink = "";
  function choose(at, seen) {
    if (at < 0 && chosen < 0) return;
    const rows = [...document.querySelectorAll(".lines li, table.rows tbody tr")].filter((row) => row.querySelector("a"));
    if (!rows.length) return;
    chosen = Math.max(0, Math.min(rows.length - 1, at));
    if (!seen && rows[chosen].querySelector("a").href !== chosenLink) { // others may have come before it, or it has gone
      chosen = rows.findIndex((row) => row.querySelector("a").href === chosenLink);
      if (chosen < 0) return;
    }
    chosenLink = rows[chosen].querySelector("a").href;
    rows.forEach((row, i) => row.classList.toggle("chosen", i === chosen));
    if (seen) rows[chosen].scrollIntoView({ block: "nearest" });
  }
  const log = document.getElementById("log");
  if (words.live === "yes") stream(() => location.pathname + location.search, { part: replace, gone: () => location.reload() }, refresh);

  // The log grows, and stays at its end while that is wanted.
  if (log) {
    const follow = document.getElementById("follow"), error = document.getElementById("next-error"), ended = document.getElementById("log-end");
    let following = !location.hash && log.dataset.part !== "yes";
    const atEnd = () => { log.scrollTop = log.scrollHeight; };
    const setFollow = (on) => { following = on; follow.setAttribute("aria-pressed", on); if (on) atEnd(); };
    follow.hidden = error.hidden = false;
    follow.onclick = () => setFollow(!following);
    error.onclick = nextError;
    log.addEventListener("wheel", () => { if (log.scrollTop + log.clientHeight < log.scrollHeight - 40) setFollow(false); }, { passive: true });
    setFollow(following);

    // #L120-L140 marks lines; a click on a number makes it, with Shift of several.
    const mark = () => {
      const found = /^#L(\d+)(?:-L(\d+))?$/.exec(location.hash);
      if (!found) return;
      const from = Number(found[1]), to = Number(found[2] || from), first = log.firstElementChild;
      if (first && from < first.value && log.dataset.part !== "yes") { location.replace(location.pathname + "?line=" + from + location.hash); return; }
      for (const line of log.children) line.classList.toggle("marked", line.value >= from && line.value <= to);
      const line = document.getElementById("L" + from);
      if (line) line.scrollIntoView({ block: "center" });
      setFollow(false);
    };
    mark();
    addEventListener("hashchange", mark);
    log.addEventListener("click", (event) => {
      if (event.target !== log || !log.firstElementChild) return;
      const line = document.elementFromPoint(log.firstElementChild.getBoundingClientRect().left + 4, event.clientY);
      const item = line && line.closest(".log li");
      if (!item) return;
      const before = /^#L(\d+)/.exec(location.hash), from = before && event.shiftKey ? Number(before[1]) : item.value;
      location.hash = item.value === from ? "L" + from : `L${Math.min(from, item.value)}-L${Math.max(from, item.value)}`;
    });
    if (log.dataset.grows === "yes") {
      let from = log.dataset.follow, last = log.lastElementChild ? log.lastElementChild.value : 0;
      const done = stream(() => from, {
        part: replace,
        lines: (event) => {
          const trouble = document.getElementById("log-trouble");
          if (trouble) trouble.remove();
          const news = JSON.parse(event.data), fresh = document.createDocumentFragment();
          const out = news.lines[0].n - last - 1;
          if (last && out > 0) { // too many came at once
            const item = document.createElement("li"), link = document.createElement("a");
            item.className = "skipped";
            item.value = last + 1;
            link.href = location.pathname + "?line=" + (last + 1);
            link.textContent = log.dataset.skipped.replace("{0}", out);
            item.append(link);
            fresh.append(item);
          }
          for (const line of news.lines) {
            if (line.n <= last) continue; // sent again after a connection broke off
            const item = document.createElement("li");
            last = line.n;
            item.id = "L" + line.n;
            item.value = line.n;
            item.innerHTML = line.html;
            if (line.bad) item.className = "bad";
            fresh.append(item);
          }
          log.append(fresh);
          if (event.lastEventId) from = log.dataset.follow.replace(/from=.*/, "from=" + event.lastEventId);
          const extra = log.childElementCount - 5000;
          if (extra > 0) { // all at once: the numbers of a list are counted anew for each
            const range = document.createRange();
            range.setStart(log, 0);
            range.setEndBefore(log.children[extra]);
            range.deleteContents();
          }
          const earlier = document.getElementById("log-earlier");
          if (earlier && log.firstElementChild && log.firstElementChild.value > 1) earlier.hidden = false;
          if (following) requestAnimationFrame(atEnd);
        },
        end: () => { if (ended) ended.hidden = false; done(); alive("live"); },
      }, () => new Promise((later) => setTimeout(later, 10000)).then(() => location.reload()));
    }
  }
  let found = -1;
  function nextError() {
    const bad = [...document.querySelectorAll(".log li.bad")];
    if (!bad.length) return;
    document.querySelectorAll(".log li.found").forEach((e) => e.classList.remove("found"));
    found = (found + 1) % bad.length;
    bad[found].classList.add("found");
    bad[found].scrollIntoView({ block: "center" });
    const follow = document.getElementById("follow");
    if (follow && follow.getAttribute("aria-pressed") === "true") follow.click();
  }

  // Copy.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.copy");
    if (!button) return;
    const before = button.textContent;
    navigator.clipboard.writeText(button.previousElementSibling.textContent).then(() => {
      button.textContent = words.copied;
      setTimeout(() => { button.textContent = before; }, 2000);
    });
  });
  // A form is sent once.
  document.addEventListener("submit", (event) => {
    if (event.target.method !== "post") return;
    for (const button of event.target.querySelectorAll("button")) setTimeout(() => { button.disabled = true; }, 0);
  });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  // The command that does the same, or what is about to be created, has what is typed and ticked.
  function fill(field) {
    const action = field.closest(".action"), command = action && (action.querySelector(".command pre") || document.getElementById("manifest"));
    if (!command || !field.form) return;
    const blank = command.dataset.blank || (command.dataset.blank = command.textContent), shell = blank.startsWith("kubectl");
    const value = (name) => (field.form.elements[name] || {}).value, ticked = (name) => (field.form.elements[name] || {}).checked;
    let text = blank;
    if (value("reason")) {
      const quoted = JSON.stringify(value("reason"));
      text = text.replace(/(reason"?: ?)"…?"/, (_, key) => key + (shell ? quoted.replaceAll("'", "'\\''") : quoted));
    }
    if (value("for")) text = text.replace('"lock":{', '"lock":{"until":"' + new Date(Date.now() + 3600000 * parseInt(value("for"), 10)).toISOString().slice(0, 19) + 'Z",');
    if (ticked("rebuild")) text += '  rebuild: "' + new Date().toISOString().slice(0, 19).replaceAll(":", ".") + '"\n';
    const skipped = ["Before", "After"].filter((when) => ticked("skip" + when)).map((when) => when.toLowerCase() + "Rollout");
    if (skipped.length) text += "  skipHooks: [" + skipped.join(", ") + "]\n";
    command.textContent = text;
  }
  document.addEventListener("input", (event) => fill(event.target));
  document.querySelectorAll('input[name="reason"]').forEach(fill);

  // Keys. None of them changes anything.
  document.addEventListener("keydown", (event) => {
    const jump = document.getElementById("jump");
    if (event.key === "k" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); if (jump) jump.focus(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (words.keys === "off") return;
    const go = (id) => { const e = document.getElementById(id); if (e) e.click(); };
    switch (event.key) {
      case "/": event.preventDefault(); if (jump) jump.focus(); break;
      case "?": location.href = "/help"; break;
      case "j": case "k":
        choose(chosen + (event.key === "j" ? 1 : -1), true);
        break;
      case "Enter":
        if (event.target === body) { const link = document.querySelector(".chosen a"); if (link) link.click(); }
        break;
      case "l": go("to-log"); break;
      case "f": go("follow"); break;
      case "e": nextError(); break;
    }
  });
})();
