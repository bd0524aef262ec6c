"use strict";

// What the server cannot know: the reader's own zone, and how the time goes by.

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "short" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

function sayInReadersZone(time) {
  const moment = new Date(time.dateTime);
  time.removeAttribute("data-local");
  time.title = `${moment.toLocaleString()} in ${zone}`;
  if (moment.getTimezoneOffset() === 0) return;
  const isSameDay = moment.getDate() === moment.getUTCDate();
  time.append(` (${isSameDay ? "" : `${day.format(moment)}, `}${clock.format(moment)} here)`);
}

// The same words as `duration` of scheduler/admin.
function inWords(seconds) {
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function goOn() {
  for (const element of document.querySelectorAll("[data-since]")) {
    const passed = Math.floor((Date.now() - new Date(element.dataset.since)) / 1000);
    element.textContent = inWords(Math.max(0, passed));
  }
}

function dress(root) {
  root.querySelectorAll("time[data-local]").forEach(sayInReadersZone);
  goOn();
}

document.addEventListener("DOMContentLoaded", () => dress(document));
document.addEventListener("htmx:load", (event) => dress(event.target));
setInterval(goOn, 1000);
