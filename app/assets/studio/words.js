// The pages in the language of the browser, as far as a catalogue has their sentences: what is not in
// it stays English, which is what all of it is written in. What a visitor has written or named is
// marked as not to be translated, or is no sentence of the catalogue.
(() => {
  'use strict';
  const CATALOGUES = {catalogues};
  const wanted = navigator.languages.map((tag) => tag.split('-')[0].toLowerCase());
  const language = wanted.find((tag) => tag === 'en' || Object.hasOwn(CATALOGUES, tag)) ?? 'en';
  const words = new Map(Object.entries(CATALOGUES[language] ?? {}));
  window.visavisWords = (sentence) => words.get(sentence) ?? sentence;
  if (!words.size) return;
  document.documentElement.lang = language;
  const NOT = 'script, style, textarea, pre, code, .gradio-container [role=option], [translate=no], [contenteditable=true]';
  const SAID = ['aria-label', 'title', 'placeholder', 'alt', 'label'];
  const ours = new WeakMap();

  const inText = (node) => {
    const text = node.nodeValue, sentence = text.trim().replace(/\s+/g, ' ');
    if (!words.has(sentence) || ours.get(node) === text || node.parentElement?.closest(NOT)) return;
    const told = text.match(/^\s*/)[0] + words.get(sentence) + text.match(/\s*$/)[0];
    ours.set(node, told);
    if (told !== text) node.nodeValue = told;
  };
  const inAttributes = (element) => {
    if (element.closest('[translate=no]')) return;
    for (const name of SAID) {
      const text = element.getAttribute(name);
      if (text === null || !words.has(text)) continue;
      const kept = ours.get(element) ?? {};
      if (kept[name] === text) continue;
      ours.set(element, {...kept, [name]: words.get(text)});
      if (words.get(text) !== text) element.setAttribute(name, words.get(text));
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
    subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: SAID,
  });
  inAll(document.documentElement);
})();
