// Live updates only: the page works without this file. Server-sent events say that something changed;
// then the page's main part is fetched and swapped. No personal data travels in the events.
"use strict";
(() => {
  const announcer = document.getElementById("announcer");
  const language = document.documentElement.lang;
  let fetching = false;
  let again = false;
  let sound = null;
  let crawl = null;

  const main = () => document.getElementById("main");

  // A short tone until the card is taken. Browsers may forbid sound before the first press: then it stays quiet.
  function beep() {
    try {
      sound ??= new AudioContext();
      const tone = sound.createOscillator();
      const volume = sound.createGain();
      tone.frequency.value = 880;
      volume.gain.value = 0.1;
      tone.connect(volume).connect(sound.destination);
      tone.start();
      tone.stop(sound.currentTime + 0.15);
    } catch { /* the words and the picture say the same */ }
  }
  setInterval(() => { if (main().hasAttribute("data-take")) beep(); }, 2000);

  // Within a step the bar creeps towards the step's end, so that it fills instead of standing still.
  function creep() {
    clearInterval(crawl);
    const bar = document.getElementById("bar");
    if (!bar) return;
    const target = Number(bar.dataset.next);
    crawl = setInterval(() => { bar.value += Math.max(target - bar.value, 0) * 0.03; }, 100);
  }

  function swap(next) {
    const old = main();
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const opened = old.querySelector("details")?.open;
    old.replaceWith(next);
    if (old.dataset.epoch === next.dataset.epoch) {
      if (focused) (document.getElementById(focused.id) ?? next).focus({ preventScroll: true });
      const details = next.querySelector("details");
      if (details && opened) details.open = true;
    } else {
      // The focused control is gone: the new part takes the focus, so that the keyboard goes on from here.
      if (focused) next.focus({ preventScroll: true });
      announcer.textContent = next.dataset.announce;
      document.title = next.dataset.announce;
      window.scrollTo(0, 0);
    }
    creep();
  }

  async function refresh() {
    if (fetching) { again = true; return; }
    fetching = true;
    try {
      const answer = await fetch(`/kiosk?fragment=main&lang=${language}`, { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const next = page.getElementById("main");
      if (next) swap(document.adoptNode(next));
    } catch {
      setTimeout(refresh, 1000);
    } finally {
      fetching = false;
      if (again) { again = false; refresh(); }
    }
  }

  function progress(state) {
    const bar = document.getElementById("bar");
    if (!bar) { refresh(); return; }
    bar.max = state.of;
    bar.value = Math.max(bar.value, state.done);
    bar.dataset.next = state.next;
    for (const lang of ["ja", "en"]) {
      const text = document.querySelector(`#step [lang=${lang}]`);
      if (text) text.textContent = state.step[lang];
    }
    creep();
  }

  const events = new EventSource("/kiosk/events");
  events.addEventListener("state", (event) => {
    const state = JSON.parse(event.data);
    const shown = main().dataset;
    if (state.phase === "working" && shown.phase === "working" && shown.epoch === String(state.epoch)) {
      progress(state.progress);
    } else if (shown.epoch !== String(state.epoch) || shown.phase !== state.phase) {
      refresh();
    }
  });
  // The terminal went silent: nothing personal stays on a screen that nobody can wipe any more.
  events.addEventListener("error", () => {
    const part = main();
    if (part.hasAttribute("data-personal")) {
      part.replaceChildren();
      part.removeAttribute("data-personal");
      part.dataset.epoch = "";
    }
  });
  creep();
})();
