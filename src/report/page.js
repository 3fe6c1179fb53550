"use strict";
(() => {
  const one = (selector, from = document) => from.querySelector(selector);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const root = document.documentElement;
  const events = all(".event");
  const field = one("#filter");
  const keys = one("#keys");
  for (const part of all(".tools, .filter")) part.hidden = false;

  // Light and dark. A file has nowhere to keep the choice in some browsers.
  const theme = one("#theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const tell = () => {
    theme.textContent = isDark() ? "Light" : "Dark";
    theme.setAttribute("aria-pressed", String(isDark()));
    theme.setAttribute("aria-label", "Dark colours");
  };
  const toggle = () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("knockon-theme", root.dataset.theme); } catch {}
    tell();
  };
  try {
    const kept = localStorage.getItem("knockon-theme");
    if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  } catch {}
  theme.addEventListener("click", toggle);
  system.addEventListener("change", tell);
  tell();

  // Which events are shown.
  const known = new Map();
  const facts = event => {
    if (!known.has(event)) {
      known.set(event, {
        type: one(".type", event).textContent.toLowerCase(),
        hook: all(".runs b", event).map(name => name.textContent.toLowerCase()).join("\n"),
        status: event.dataset.s,
        text: event.textContent.toLowerCase(),
      });
    }
    return known.get(event);
  };
  const fits = (event, word) => {
    const [, kind, rest] = /^(type|hook|status):(.*)$/.exec(word) ?? [];
    return kind ? facts(event)[kind].includes(rest) : facts(event).text.includes(word);
  };
  const words = () => (field?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const shown = () => events.filter(event => !event.hidden);
  const filter = () => {
    const wanted = words();
    for (const event of events) event.hidden = !wanted.every(word => fits(event, word));
    for (const day of all(".day")) day.hidden = !one(".event:not([hidden])", day);
    const count = shown().length;
    one("#found").textContent = wanted.length ? `${count} of ${events.length} events` : `${events.length} events`;
    one("#nothing").hidden = count > 0;
    for (const chip of all(".chips button")) {
      chip.setAttribute("aria-pressed", String(wanted.includes(statusWord(chip))));
    }
  };
  const statusWord = chip => `status:${chip.dataset.s.replace(" ", "-")}`;
  const clear = () => {
    field.value = "";
    filter();
  };
  if (field) {
    let waiting = 0;
    field.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(filter, events.length > 300 ? 120 : 0);
    });
    one(".filter").addEventListener("submit", event => event.preventDefault());
    for (const chip of all(".chips button")) {
      chip.addEventListener("click", () => {
        const word = statusWord(chip);
        const others = field.value.split(/\s+/).filter(part => part && !part.startsWith("status:"));
        field.value = [...others, ...(words().includes(word) ? [] : [word])].join(" ");
        filter();
      });
    }
  }

  // From event to event.
  let current = null;
  document.addEventListener("focusin", focus => {
    current = focus.target.closest?.(".event") ?? current;
  });
  const go = event => {
    if (!event) return;
    current = event;
    const summary = one("summary", event);
    summary.focus({ preventScroll: true });
    summary.scrollIntoView({ block: "nearest" });
  };
  const step = (by, wanted) => {
    const from = events.indexOf(current);
    const start = from < 0 && by < 0 ? events.length : from;
    for (let at = start + by; at >= 0 && at < events.length; at += by) {
      if (!events[at].hidden && wanted(events[at])) return go(events[at]);
    }
  };
  const any = () => true;
  const isBad = event => event.classList.contains("is-bad");

  const actions = {
    j: () => step(1, any),
    k: () => step(-1, any),
    f: () => step(1, isBad),
    F: () => step(-1, isBad),
    t: toggle,
    "?": () => keys.showModal(),
    "/": () => {
      field?.focus();
      field?.select();
    },
    Escape: clear,
  };
  document.addEventListener("keydown", press => {
    if (press.ctrlKey || press.metaKey || press.altKey || press.isComposing || keys.open) return;
    if (press.target === field) {
      if (press.key === "Escape") {
        clear();
        field.blur();
      } else if (press.key === "Enter" || press.key === "ArrowDown") {
        filter();
        go(shown()[0]);
      } else return;
      press.preventDefault();
      return;
    }
    const onEvent = press.target.matches?.(".event > summary");
    const arrow = onEvent ? { ArrowDown: "j", ArrowUp: "k" }[press.key] : undefined;
    // Nothing is current yet: the arrows scroll, as they do everywhere.
    const action = actions[arrow ?? press.key];
    if (!action || (press.key === "Escape" && !field?.value)) return;
    press.preventDefault();
    action();
  });
  one("#help").addEventListener("click", actions["?"]);
  one("#close").addEventListener("click", () => keys.close());
  keys.addEventListener("click", click => {
    if (click.target === keys) keys.close();
  });

  // A link to an event opens it, also while a filter hides it.
  const follow = () => {
    let id = location.hash.slice(1);
    try { id = decodeURIComponent(id); } catch {}
    const target = document.getElementById(id);
    const event = target?.closest(".event");
    if (!event) return;
    if (event.hidden) clear();
    event.open = true;
    go(event);
  };
  addEventListener("hashchange", follow);
  follow();

  // Printed, what went wrong is open.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = all(".failure:not([open]), .event.is-bad:not([open])");
    for (const part of opened) part.open = true;
  });
  addEventListener("afterprint", () => {
    for (const part of opened) part.open = false;
  });
})();
