(() => {
  "use strict";
  const FEW = 30;
  const animals = new Map(Object.entries(JSON.parse(document.getElementById("animals").textContent)));
  const card = document.querySelector(".card");
  const tools = document.querySelector(".tools");
  const parts = [...document.querySelectorAll("details")];
  const marks = new Map();
  for (const mark of document.querySelectorAll("svg [data-animal]")) {
    const name = mark.getAttribute("data-animal");
    if (!marks.has(name)) marks.set(name, []);
    marks.get(name).push(mark);
  }
  let shown = null;
  let held = null;

  function place(x, y) {
    const box = card.getBoundingClientRect();
    const left = Math.min(Math.max(8, x + 14), window.innerWidth - box.width - 8);
    const below = y + 16 + box.height < window.innerHeight;
    card.style.left = `${Math.max(8, left)}px`;
    card.style.top = `${Math.max(8, below ? y + 16 : y - box.height - 12)}px`;
  }

  function clear() {
    for (const svg of document.querySelectorAll("svg.pointed")) svg.classList.remove("pointed");
    for (const mark of marks.get(shown) ?? []) mark.classList.remove("on");
    card.hidden = true;
    shown = null;
  }

  function point(name, x, y) {
    if (shown !== name) {
      clear();
      shown = name;
      for (const mark of marks.get(name) ?? []) {
        mark.classList.add("on");
        mark.ownerSVGElement.classList.add("pointed");
      }
      const title = document.createElement("b");
      title.textContent = name;
      const lines = (animals.get(name) ?? []).map((line) => {
        const element = document.createElement("span");
        element.textContent = line;
        return element;
      });
      card.replaceChildren(title, ...lines);
      card.hidden = false;
    }
    place(x, y);
  }

  function leave() {
    if (held === null) clear();
    else if (shown !== held) point(held, 8, 8);
  }

  function hold(name, x, y) {
    held = held === name ? null : name;
    for (const button of document.querySelectorAll(".animals button")) {
      button.setAttribute("aria-pressed", String(button.value === held));
    }
    if (held === null) clear();
    else point(held, x, y);
  }

  const marked = (event) => event.target.closest?.("svg [data-animal]")?.getAttribute("data-animal") ?? null;
  document.addEventListener("pointerover", (event) => {
    const name = marked(event);
    if (name !== null) point(name, event.clientX, event.clientY);
  });
  document.addEventListener("pointerout", (event) => {
    if (marked(event) !== null) leave();
  });
  document.addEventListener("click", (event) => {
    const name = marked(event);
    if (name !== null) hold(name, event.clientX, event.clientY);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (held !== null) hold(held, 0, 0);
    clear();
  });

  const row = document.querySelector(".animals");
  const names = [...animals.keys()].filter((name) => marks.has(name));
  if (row && names.length > FEW) {
    const label = document.createElement("label");
    const select = document.createElement("select");
    label.textContent = "Point out an animal: ";
    select.append(new Option("none", ""), ...names.map((name, index) => new Option(name, String(index))));
    select.addEventListener("change", () => {
      const box = select.getBoundingClientRect();
      held = null;
      clear();
      if (select.value !== "") hold(names[Number(select.value)], box.left, box.bottom);
    });
    label.append(select);
    row.append(label);
  } else if (row && names.length) {
    const lead = document.createElement("span");
    lead.className = "lead";
    lead.textContent = "Point out an animal:";
    row.append(lead);
    for (const name of names) {
      const button = document.createElement("button");
      button.type = "button";
      button.value = name;
      button.textContent = name;
      button.setAttribute("aria-pressed", "false");
      const here = () => {
        const box = button.getBoundingClientRect();
        return [name, box.left, box.bottom - 10];
      };
      button.addEventListener("pointerenter", () => point(...here()));
      button.addEventListener("pointerleave", leave);
      button.addEventListener("focus", () => point(...here()));
      button.addEventListener("blur", leave);
      button.addEventListener("click", () => hold(...here()));
      row.append(button);
    }
  }

  const types = [...document.querySelectorAll(".types input")];
  function showTypes(all) {
    const wanted = new Set(types.filter((box) => all || box.checked).map((box) => box.value));
    for (const figure of document.querySelectorAll("figure[data-cell-type]")) {
      figure.hidden = !wanted.has(figure.getAttribute("data-cell-type"));
    }
  }
  for (const box of types) box.addEventListener("change", () => showTypes(false));

  const all = document.querySelector(".all");
  all.addEventListener("click", () => {
    const open = all.textContent === "Open all";
    for (const part of parts) part.open = open;
    all.textContent = open ? "Close all" : "Open all";
  });
  tools.hidden = false;

  const aimed = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (aimed instanceof HTMLDetailsElement) aimed.open = true;

  let before = [];
  window.addEventListener("beforeprint", () => {
    before = parts.map((part) => part.open);
    for (const part of parts) part.open = true;
    showTypes(true);
    clear();
  });
  window.addEventListener("afterprint", () => {
    parts.forEach((part, index) => { part.open = before[index]; });
    showTypes(false);
    if (held !== null) point(held, 8, 8);
  });
})();
