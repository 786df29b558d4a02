// Loads the figures of the page again when a budget has changed. Without scripts the page works the same; it stands still.
(() => {
  const source = document.querySelector("[data-changes]");
  if (!source || !window.EventSource) return;
  const only = source.dataset.budget;
  let waiting = 0;

  async function refresh() {
    waiting = 0;
    const answer = await fetch(location.href, { credentials: "same-origin" });
    if (!answer.ok || answer.redirected) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const replacement = fresh.getElementById(part.id);
      // What somebody is using is not taken away under their hands.
      if (replacement && !part.contains(document.activeElement)) part.replaceWith(replacement);
    }
  }

  const events = new EventSource(source.dataset.changes);
  events.addEventListener("change", (event) => {
    if (only && event.data !== only) return;
    if (!waiting) waiting = setTimeout(refresh, 400);
  });
})();
