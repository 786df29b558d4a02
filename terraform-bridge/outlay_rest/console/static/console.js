// Loads the figures of the page again when a budget has changed. Without scripts the page works the same; it stands still.
(() => {
  const source = document.querySelector("[data-changes]");
  if (!source || !window.EventSource) return;
  const only = source.dataset.budget;
  const note = document.getElementById("standing-still");
  const SOONEST = 400, AGAIN = 10000;
  let events = null, again = 0, timer = 0, pause = SOONEST, isSignedOut = false;

  function say(text) {
    if (note.textContent !== text) note.textContent = text;
  }

  function replace(text) {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const replacement = fresh.getElementById(part.id);
      // What somebody is using is not taken away under their hands.
      if (!replacement || part.contains(document.activeElement)) continue;
      const opened = [...part.querySelectorAll("details")].map((one) => one.open);
      replacement.querySelectorAll("details").forEach((one, index) => { one.open = opened[index] ?? false; });
      part.replaceWith(replacement);
    }
  }

  async function refresh() {
    timer = 0;
    const began = performance.now();
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      if (answer.redirected || answer.status === 403) {
        isSignedOut = true;
        say("You are signed out, so these figures stand still. Load the page again to sign in.");
        close();
      } else if (answer.ok) replace(await answer.text());
    } catch {
      // The server is away; once it is back, the connection is, and asks again.
    }
    // A page that takes long to make is asked for less often.
    pause = Math.max(SOONEST, 10 * (performance.now() - began));
  }

  function later() {
    if (!timer && !isSignedOut) timer = setTimeout(refresh, pause);
  }

  function open() {
    clearTimeout(again);
    if (events || isSignedOut) return;
    events = new EventSource(source.dataset.changes);
    events.addEventListener("change", (event) => { if (!only || event.data === only) later(); });
    // What changed between the making of the page and now, or while the connection was gone.
    events.addEventListener("state", later);
    events.addEventListener("open", () => say(""));
    events.addEventListener("error", () => {
      say("The connection is gone, so these figures may be old.");
      // Browsers try again by themselves where nobody answered, and give up where somebody answered no.
      if (events && events.readyState === EventSource.CLOSED) {
        close();
        again = setTimeout(open, AGAIN);
        later();
      }
    });
  }

  function close() {
    clearTimeout(again);
    if (events) events.close();
    events = null;
  }

  // A browser has six connections for a server: a tab that nobody looks at keeps none of them.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close();
    else open();
  });
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", open);
  if (!document.hidden) open();
})();
