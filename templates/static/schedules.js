// The page of a schedule: only the fields of its kind, what the chosen job takes, and the next runs while typing.
"use strict";

(() => {
  const KINDS = {
    cron: ["cron", "zone", "one_off"],
    interval: ["every"],
    clocked: ["clocked_time"],
    delay: ["every"],
  };
  const PAUSE = 250; // milliseconds without a key before the server is asked

  let form, preview, shown, waiting, request;
  let touched = false; // until something is typed, what the server said of it stands

  function start() {
    preview = document.getElementById("schedule-preview");
    form = preview && preview.closest("form");
    if (!form || !form.elements.kind) return;
    for (const event of ["input", "change", "focusin", "click"]) form.addEventListener(event, follow);
    follow();
  }

  // The pickers of dates fill in boxes without a word, so every step in the form is a reason to look.
  function follow() {
    showFieldsOf(form.elements.kind.value);
    showJob(form.elements.task.value);
    const query = typed().toString();
    if (query === shown) return;
    touched = shown !== undefined;
    shown = query;
    clearTimeout(waiting);
    waiting = setTimeout(ask, touched ? PAUSE : 0, query);
  }

  function showFieldsOf(kind) {
    const wanted = KINDS[kind] || [];
    for (const name of new Set(Object.values(KINDS).flat())) {
      const row = lineOf(name)?.closest(".form-row");
      if (row) row.hidden = !wanted.includes(name);
    }
  }

  function showJob(name) {
    for (const job of document.querySelectorAll("#schedule-jobs [data-job]")) job.hidden = job.dataset.job !== name;
  }

  function lineOf(name) {
    return form.querySelector(`.field-line.field-${name}`);
  }

  function boxesOf(name) {
    return [...(lineOf(name)?.querySelectorAll("input, select") || [])];
  }

  function typed() {
    const query = new URLSearchParams();
    const fields = preview.dataset.fields.split(" ");
    for (const [name, value] of new FormData(form))
      if (fields.includes(name.replace(/_[01]$/, "")) || fields.includes(name)) query.append(name, value);
    if (preview.dataset.schedule) query.append("schedule", preview.dataset.schedule);
    return query;
  }

  async function ask(query) {
    request?.abort();
    request = new AbortController();
    try {
      const response = await fetch(`${preview.dataset.url}?${query}`, {
        signal: request.signal,
        headers: { Accept: "application/json" },
      });
      if (!response.ok || response.redirected) throw new Error(response.statusText);
      tell(await response.json());
    } catch (error) {
      if (error.name !== "AbortError") preview.replaceChildren(paragraph("The next runs cannot be looked up just now."));
    }
  }

  function tell(answer) {
    const errors = answer.errors || {};
    for (const name of preview.dataset.fields.split(" ")) tellError(name, (errors[name] || []).join(" "));
    if (answer.errors) {
      preview.replaceChildren(paragraph(isEmpty(errors) ? "Known once it is filled in." : "Never, as it is now."));
    } else if (answer.runs.length) {
      preview.replaceChildren(paragraph(`${answer.words}.`), table(answer));
    } else {
      preview.replaceChildren(paragraph(`${answer.words}. That is over: it never comes any more.`));
    }
  }

  function isEmpty(errors) {
    return Object.keys(errors).every((name) => boxesOf(name).every((box) => box.type === "radio" || !box.value));
  }

  // Beside its box, where the server says it too; but of a box in which nothing was typed yet nothing is wrong.
  function tellError(name, sentence) {
    const boxes = boxesOf(name);
    if (!boxes.length || !touched) return;
    const id = `${name}-typed`;
    const said = sentence && boxes.some((box) => box.type === "radio" || box.value) ? sentence : "";
    for (const list of lineOf(name).querySelectorAll(".errorlist")) list.hidden = true;
    let place = document.getElementById(id);
    if (!place) {
      place = paragraph("");
      place.id = id;
      place.className = "typed-error";
      place.setAttribute("aria-live", "polite");
      boxes.at(-1).closest(".grow").append(place);
    }
    place.textContent = said;
    for (const box of boxes) {
      box.setAttribute("aria-describedby", id);
      if (said) box.setAttribute("aria-invalid", "true");
      else box.removeAttribute("aria-invalid");
    }
  }

  function table(answer) {
    const mine = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const columns = mine === answer.zone ? [answer.zone] : [answer.zone, `Here (${mine})`];
    const table = document.createElement("table");
    const head = table.createTHead().insertRow();
    for (const column of columns) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = column;
      head.append(cell);
    }
    const body = table.createTBody();
    for (const run of answer.runs) {
      const row = body.insertRow();
      const moments = [run.there, here(new Date(run.at))].slice(0, columns.length);
      for (const moment of moments) {
        const time = document.createElement("time");
        time.dateTime = run.at;
        time.textContent = moment;
        row.insertCell().append(time);
      }
    }
    return table;
  }

  // As the server writes it: “Mon 2026-11-23 02:00:00”.
  function here(moment) {
    return `${moment.toLocaleDateString("en-GB", { weekday: "short" })} ${moment.toLocaleString("sv-SE")}`;
  }

  function paragraph(text) {
    const element = document.createElement("p");
    element.textContent = text;
    return element;
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
