// The pages in the language of the browser, as far as a catalogue has their sentences: what is not in
// it stays English, which is what all of it is written in. What a visitor has written or named is
// marked as not to be translated, or is no sentence of the catalogue.
(() => {
  'use strict';
  const CATALOGUES = {catalogues};
  const SAID = {said};
  const wanted = navigator.languages.map((tag) => tag.split('-')[0].toLowerCase());
  const language = wanted.find((tag) => tag === 'en' || Object.hasOwn(CATALOGUES, tag)) ?? 'en';
  const words = new Map(Object.entries(CATALOGUES[language] ?? {}));
  const said = new Map(Object.entries(SAID[language] ?? {}));

  // What the server says has holes: {0} is anything, {#0} a number. Who leaves least open comes first.
  const pattern = ([english, told]) => {
    const parts = english.split(/\{(#?\d)\}/), plain = parts.filter((_, at) => at % 2 === 0).join('');
    const source = parts.map((part, at) => (at % 2 === 0
      ? part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&') : part[0] === '#' ? '([-+]?[\\d.,]+)' : '(.+?)'));
    const holes = parts.filter((_, at) => at % 2).map((part) => part.replace('#', ''));
    return {found: new RegExp(`^${source.join('')}$`, 's'), told, holes, plain};
  };
  const patterns = [...said].filter(([english]) => /\{#?\d\}/.test(english)).map(pattern)
    .sort((one, other) => other.plain.length - one.plain.length);
  const say = (sentence, deep = 0) => {
    const known = words.get(sentence) ?? said.get(sentence);
    if (known !== undefined || deep > 4) return known;
    for (const {found, told, holes, plain} of patterns) {
      const match = found.exec(sentence);
      if (!match) continue;
      const inside = match.slice(1).map((part) => say(part, deep + 1));
      if (!/\p{L}/u.test(plain) && inside.every((part) => part === undefined)) continue;
      return told.replace(/\{(\d)\}/g, (_, hole) => {
        const at = holes.indexOf(hole);
        return inside[at] ?? match[at + 1];
      });
    }
  };

  window.visavisLanguage = language;
  window.visavisWords = (sentence) => say(sentence) ?? sentence;
  window.visavisVoice = (label) => {
    const [, kinds, name = ''] = label.match(/^(.*?)( \([\w+-]+\))?$/);
    return kinds.split(', ').map((kind) => words.get(kind) ?? said.get(kind) ?? kind).join(', ') + name;
  };
  if (!words.size) return;
  document.documentElement.lang = language;
  const NOT = 'script, style, textarea, pre, code, .gradio-container [role=option], [translate=no], [contenteditable=true]';
  const BY_SERVER = '.v-note, .v-alert, .v-run, .v-figures, .v-grid, .toast-body, #problem, #face, #puppet-face';
  const ATTRIBUTES = ['aria-label', 'title', 'placeholder', 'alt', 'label', 'data-told'];
  const ours = new WeakMap();

  const inWords = (sentence, element) =>
    words.get(sentence) ?? (element?.closest(BY_SERVER) ? say(sentence) : undefined);
  const inText = (node) => {
    const text = node.nodeValue;
    if (ours.get(node) === text || node.parentElement?.closest(NOT)) return;
    const told = inWords(text.trim().replace(/\s+/g, ' '), node.parentElement);
    if (told === undefined) return;
    const whole = text.match(/^\s*/)[0] + told + text.match(/\s*$/)[0];
    ours.set(node, whole);
    if (whole !== text) node.nodeValue = whole;
  };
  const inAttributes = (element) => {
    if (element.closest('[translate=no]')) return;
    for (const name of ATTRIBUTES) {
      const text = element.getAttribute(name), kept = ours.get(element) ?? {};
      if (text === null || kept[name] === text) continue;
      const told = inWords(text, element);
      if (told === undefined) continue;
      ours.set(element, {...kept, [name]: told});
      if (told !== text) element.setAttribute(name, told);
    }
  };
  const inAll = (root) => {
    if (root.nodeType === Node.TEXT_NODE) return inText(root);
    if (root.nodeType !== Node.ELEMENT_NODE) return;
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    for (let node = root; node; node = walker.nextNode()) {
      if (node.nodeType === Node.TEXT_NODE) inText(node);
      else inAttributes(node);
    }
  };
  new MutationObserver((changes) => {
    for (const {type, target, addedNodes} of changes) {
      if (type === 'characterData') inText(target);
      else if (type === 'attributes') inAttributes(target);
      else addedNodes.forEach(inAll);
    }
  }).observe(document, {
    subtree: true, childList: true, characterData: true, attributes: true,
    attributeFilter: ATTRIBUTES,
  });
  inAll(document.documentElement);
})();
