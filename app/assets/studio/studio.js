// What gradio's components leave open: names of buttons, where the focus goes when its button is
// switched off, what is said aloud of a video that is being made, and that it plays when it is there.
(() => {
  'use strict';
  const words = (node) => (node?.textContent ?? '').replace(/\s+/g, ' ').trim();
  const put = (node, name, value) => {
    if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  };
  const each = (selector, change) => document.querySelectorAll(selector).forEach(change);

  // Problems that the server tells as JSON are sentences here.
  const ask = window.fetch;
  window.fetch = async (...given) => {
    const answer = await ask(...given);
    const kind = answer.headers.get('content-type') ?? '';
    if (answer.ok || !kind.startsWith('application/problem+json')) return answer;
    return new Response((await answer.json()).detail, {status: answer.status});
  };

  // The server knows a tab by a name that a reload keeps. A copy of a tab begins with the name of
  // the one that it was copied from, which says so.
  const tab = async () => {
    const kept = 'visavis-tab';
    const line = 'BroadcastChannel' in window ? new BroadcastChannel(kept) : null;
    const taken = (name) => new Promise((done) => {
      line.onmessage = ({data}) => { if (data.taken === name) done(true); };
      line.postMessage({asked: name});
      setTimeout(done, 200, false);
    });
    let mine = sessionStorage.getItem(kept);
    if (mine && line && await taken(mine)) mine = null;
    mine ??= [...crypto.getRandomValues(new Uint8Array(16))]
      .map((byte) => byte.toString(16).padStart(2, '0')).join('');
    sessionStorage.setItem(kept, mine);
    if (line) line.onmessage = ({data}) => { if (data.asked === mine) line.postMessage({taken: mine}); };
    return mine;
  };
  window.visavisTab = tab();

  const name = () => {
    each('button.thumbnail-item', (button) => {
      const caption = words(button.querySelector('.caption-label'));
      if (!caption) return;
      put(button, 'aria-label', caption);
      button.querySelectorAll('img').forEach((image) => put(image, 'alt', ''));
    });
    each('div.empty[aria-label]', (div) => div.removeAttribute('aria-label'));
    each('.block button[aria-label^="Drop"], .block button[aria-label*="to upload"]', (button) => {
      const label = words(button.closest('.block').querySelector('[data-testid="block-label"]'));
      put(button, 'aria-label', `${label}: ${words(button)}`);
    });
    each('.overflow-menu > button', (button) => put(button, 'aria-label', 'More tabs'));
    each('#make', (button) => put(button, 'aria-describedby', 'plan'));
    each('#puppet-make', (button) => put(button, 'aria-describedby', 'puppet-plan'));
  };

  // Twice the same is said once; the place is there from the beginning, as readers want it.
  const tell = () => {
    const told = [...document.querySelectorAll('[data-told]')].filter((node) => node.offsetParent);
    const heard = document.getElementById('v-heard'), now = told.at(-1)?.dataset.told ?? '';
    if (heard && heard.textContent !== now) heard.textContent = now;
  };

  // A result is picked by writing its name where the server looks.
  document.addEventListener('click', ({target}) => {
    const button = target.closest?.('[data-pick]');
    const field = button && document.querySelector('#picked textarea, #picked input');
    if (!field) return;
    field.value = button.dataset.pick;
    field.dispatchEvent(new Event('input', {bubbles: true}));
  });

  // A button that is switched off loses the focus to the page; the one beside it is wanted next.
  let last = null;
  const hold = () => {
    if (!last?.disabled || !last.isConnected) return;
    if (document.activeElement !== document.body && document.activeElement !== last) return;
    const beside = last.parentElement.querySelectorAll('button:not(:disabled)');
    if (beside.length) beside[0].focus();
  };
  document.addEventListener('focusin', ({target}) => { last = target; });
  document.addEventListener('pointerdown', ({target}) => {
    if (!target.closest('button, input, textarea, select, label')) last = null;
  });

  let waits = false;
  const mend = () => {
    waits = false;
    name();
    tell();
    hold();
  };
  new MutationObserver(() => {
    if (waits) return;
    waits = true;
    requestAnimationFrame(mend);
  }).observe(document, {
    subtree: true, childList: true, attributes: true, attributeFilter: ['aria-label', 'disabled'],
  });

  // Two videos beside each other are one: what is done to one is done to both, and one is heard.
  for (const kind of ['play', 'pause', 'seeking']) {
    document.addEventListener(kind, ({target}) => {
      const pair = [...target.closest?.('.v-pair')?.querySelectorAll('video') ?? []];
      const other = pair.find((video) => video !== target);
      if (!other) return;
      pair[1].muted = true;
      if (Math.abs(other.currentTime - target.currentTime) > 0.1) other.currentTime = target.currentTime;
      if (kind === 'play' && other.paused) other.play().catch(() => {});
      if (kind === 'pause' && !other.paused && !target.ended) other.pause();
    }, true);
  }

  // With its sound where the browser lets it, else without; once, and not for who wants no motion.
  const still = matchMedia('(prefers-reduced-motion: reduce)');
  document.addEventListener('loadeddata', ({target}) => {
    if (!target.closest?.('.v-made') || target.dataset.played === target.currentSrc) return;
    target.dataset.played = target.currentSrc;
    if (still.matches) return;
    target.play().catch(() => {
      target.muted = true;
      return target.play();
    }).catch(() => {});
  }, true);
})();
