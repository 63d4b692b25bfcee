// The turn editor: rows are drawn here, and told to the server as one text in the field #turns, where
// a row that is a recording names a file that was uploaded. What is wrong with a row, the server says.
(() => {
  'use strict';
  const base = location.pathname.replace(/\/+$/, '');
  const WHO = {interlocutor: 'the other person', agent: 'the portrait'};
  // What a row is at the moment is the page's alone: `recorder`, `busy` and `wrong` are not told.
  const PLAIN = ['who', 'text', 'audio', 'voice', 'pause'];
  let rows = [], written = null, waiting = 0, told = '';

  const field = () => document.querySelector('#turns textarea, #turns input');
  const editor = () => document.querySelector('.v-turns');

  const make = (tag, attributes = {}, ...inside) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
      else if (typeof value === 'boolean') node.toggleAttribute(name, value);
      else if (value !== undefined) node.setAttribute(name, value);
    }
    node.append(...inside);
    return node;
  };
  const choice = (label, options, value, change) => {
    const select = make('select', {
      'aria-label': label, onchange: () => { change(select.value); },
    }, ...options.map(([name, shown]) => make('option', {value: name}, shown)));
    select.value = value;
    return select;
  };
  const button = (label, sign, act, disabled, key) =>
    make('button', {type: 'button', 'aria-label': label, title: label, onclick: act, disabled, 'data-key': key}, sign);

  const write = (pause = 0) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const place = field();
      if (!place) return;
      written = place.value = JSON.stringify(rows, PLAIN);
      place.dispatchEvent(new Event('input', {bubbles: true}));
    }, pause);
  };
  const change = (focus) => {
    draw();
    write();
    const wanted = focus && editor()?.querySelector(focus);
    const near = wanted?.disabled ? wanted.parentElement.querySelector('button:not(:disabled)') : wanted;
    near?.focus();
  };

  const upload = async (row, file) => {
    const form = new FormData();
    form.append('files', file, file.name ?? 'recording.webm');
    row.busy = 'Uploading ...';
    delete row.wrong;
    draw();
    const answer = await fetch(`${base}/gradio_api/upload`, {method: 'POST', body: form})
      .catch(() => null);
    delete row.busy;
    if (answer?.ok) [row.audio] = await answer.json();
    else row.wrong = answer ? await answer.text() : 'the server does not answer; try again';
    change();
  };
  const record = async (row) => {
    if (row.recorder) return row.recorder.stop();
    let stream = null;
    try {
      stream = await navigator.mediaDevices.getUserMedia({audio: true});
    } catch {
      row.wrong = 'there is no microphone, or the browser may not use it; upload a file instead';
      return draw();
    }
    const parts = [];
    row.recorder = new MediaRecorder(stream);
    row.recorder.ondataavailable = ({data}) => { parts.push(data); };
    row.recorder.onstop = () => {
      stream.getTracks().forEach((track) => track.stop());
      delete row.recorder;
      upload(row, new File(parts, 'recording.webm', {type: parts[0]?.type}));
    };
    row.recorder.start();
    draw();
  };
  const recording = (row, number) => {
    const input = make('input', {
      type: 'file', accept: 'audio/*,video/*', 'aria-label': `Recording of turn ${number}`,
      onchange: () => { if (input.files[0]) upload(row, input.files[0]); },
    });
    const parts = [input, make('button', {type: 'button', onclick: () => record(row)},
      row.recorder ? 'Stop' : 'Record')];
    if (row.audio) {
      parts.unshift(make('audio', {
        controls: true, src: `${base}/gradio_api/file=${encodeURIComponent(row.audio)}`,
        'aria-label': `What is said in turn ${number}`,
      }));
    }
    if (row.busy) parts.push(make('span', {}, row.busy));
    return make('div', {class: 'v-turn-sound'}, ...parts);
  };
  const words = (row, number, voices) => {
    const text = make('textarea', {
      rows: '2', 'aria-label': `Words of turn ${number}`, 'data-key': 'text',
      oninput: () => { row.text = text.value; write(250); },
    });
    text.value = row.text;
    const voice = choice(`Voice of turn ${number}`, voices, row.voice ?? '', (name) => {
      if (name) row.voice = name; else delete row.voice;
      write();
    });
    return make('div', {class: 'v-turn-words'}, text, voice);
  };
  const move = (at, by) => {
    [rows[at], rows[at + by]] = [rows[at + by], rows[at]];
    change(`li:nth-child(${at + by + 1}) [data-key=${by < 0 ? 'up' : 'down'}]`);
  };
  const remove = (at) => {
    rows.splice(at, 1);
    const next = Math.min(at, rows.length - 1) + 1;
    change(next ? `li:nth-child(${next}) [data-key=remove]` : '[data-key=add]');
  };

  const line = (row, at, voices) => {
    const number = at + 1, spoken = !('audio' in row);
    const pause = make('input', {
      type: 'number', min: '0', max: '10', step: '0.1', placeholder: '0.3',
      'aria-label': `Pause before turn ${number}, in seconds`,
      oninput: () => {
        if (pause.value === '') delete row.pause; else row.pause = Number(pause.value);
        write(250);
      },
    });
    pause.value = row.pause ?? '';
    const head = make('div', {class: 'v-turn-head'},
      make('span', {class: 'v-turn-number', 'aria-hidden': 'true'}, `${number}`),
      choice(`Who speaks in turn ${number}`, Object.entries(WHO), row.who, (who) => {
        row.who = who;
        write();
      }),
      choice(`Turn ${number} is`, [['text', 'a text'], ['audio', 'a recording']],
        spoken ? 'text' : 'audio', (kind) => {
          if (kind === 'text') { delete row.audio; row.text ??= ''; }
          else { row.audio = ''; delete row.text; delete row.voice; }
          change(`li:nth-child(${number}) .v-turn-head select:nth-of-type(2)`);
        }),
      make('label', {}, 'pause ', pause, ' s'),
      make('span', {class: 'v-turn-tools'},
        button(`Move turn ${number} up`, '↑', () => move(at, -1), at === 0, 'up'),
        button(`Move turn ${number} down`, '↓', () => move(at, 1), number === rows.length, 'down'),
        button(`Delete turn ${number}`, '×', () => remove(at), false, 'remove')));
    const wrong = make('p', {class: 'v-turn-wrong', 'aria-live': 'polite'}, row.wrong ?? '');
    return make('li', {class: `v-turn v-turn-${row.who}`}, head,
      spoken ? words(row, number, voices) : recording(row, number), wrong);
  };

  const draw = () => {
    const place = editor();
    if (!place) return;
    const most = Number(place.dataset.most);
    const named = JSON.parse(place.dataset.voices).map(([name, shown]) => [name, window.visavisVoice?.(shown) ?? shown]);
    const voices = [['', 'the usual voice'], ...named];
    const list = make('ol', {}, ...rows.map((row, at) => line(row, at, voices)));
    const add = make('button', {
      type: 'button', 'data-key': 'add', disabled: rows.length >= most,
      onclick: () => {
        rows.push({who: rows.at(-1)?.who === 'interlocutor' ? 'agent' : 'interlocutor', text: ''});
        change(`li:nth-child(${rows.length}) [data-key=text]`);
      },
    }, 'Add a turn');
    place.replaceChildren(list, add);
    told = '';
    blame();
  };

  // "turn 3: ..." of the plan and of a video that failed is said at the third row too.
  const blame = () => {
    const said = document.querySelector('#status [data-turn], #plan [data-turn]');
    const now = said ? `${said.dataset.turn} ${said.textContent}` : '';
    if (now === told) return;
    told = now;
    editor()?.querySelectorAll('li').forEach((item, at) => {
      const mine = said && Number(said.dataset.turn) === at + 1;
      item.classList.toggle('v-turn-bad', Boolean(mine));
      const text = mine ? said.textContent.replace(/^[^:：]*\d+[^:：]*[:：]\s*/, '') : rows[at]?.wrong ?? '';
      const wrong = item.querySelector('.v-turn-wrong');
      if (wrong.textContent !== text) wrong.textContent = text;
    });
  };

  // The server may have put other rows there, and a part that was hidden is a new one when shown.
  const look = () => {
    const place = field();
    if (place && place.value !== written) {
      written = place.value;
      try { rows = JSON.parse(written || '[]'); } catch { rows = []; }
      draw();
    } else if (editor() && !editor().firstElementChild) draw();
    blame();
  };
  let due = false;
  new MutationObserver(() => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => { due = false; look(); });
  }).observe(document, {subtree: true, childList: true, characterData: true});
})();
