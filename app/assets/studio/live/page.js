// The live page: its controls, and what it shows of a conversation (talk.js).
'use strict';

const $ = (id) => document.getElementById(id);
const SIZES = [256, 384, 512], MOST_PX = 512, SHARP = 1.5, EASY_MS = 60, FAIR_MS = 110, KNOWN = 12, CAPTION_MS = 7000;
const inWords = window.visavisWords;
const lateness = (ms) => `${inWords(ms < 400 ? 'at once' : ms < 1000 ? 'with a short delay' : 'late')} (${Math.round(ms)} ms)`;
const pace = (ms) => ms < PIECE_MS * 0.8 ? 'easily' : ms < PIECE_MS ? 'just' : 'no: it is too slow';
const WHILE_LIVE = ['say', 'ask', 'stop', 'voice', 'mute', 'end'];

const dark = () => {
  try { return parent.document.body.classList.contains('dark'); } catch { return false; }
};
document.documentElement.classList.toggle('dark', dark() || matchMedia('(prefers-color-scheme: dark)').matches && parent === window);
for (const [name, url] of PORTRAITS) $('portrait').add(new Option(name, url));
$('ask').hidden = !ANSWERS;
if (ANSWERS) $('told').textContent = 'Let it say, or ask it (a language model answers)';
for (const name of EMOTIONS) $('emotion').add(new Option(name, name));
for (const [name, told] of VOICES) $('speaker').add(new Option(window.visavisVoice(told), name));
// Until somebody chooses one, a woman's portrait has a woman's voice, if one keeps up.
let chosen = false;
const suit = () => {
  const name = $('portrait').selectedOptions[0]?.text ?? '', sex = /^man/.test(name) ? 'man' : 'woman';
  if (!chosen) $('speaker').value = VOICES.find((voice) => voice[2] === sex && voice[3])[0];
};
suit();
$('speaker').onchange = () => { chosen = true; };

let live = null, shown = 0;

// -- before -----------------------------------------------------------------------------------

const photo = async () => $('photo').files[0] ?? await (await fetch($('portrait').value)).blob();

// Who will be talked to is there, and alive, before the conversation begins, and until its first frame; a photo
// of one's own as soon as the server has drawn it.
const CALM = matchMedia('(prefers-reduced-motion: reduce)');
const quiet = new Quiet();
const idle = (url) => {
  const film = $('idle');
  if (!url || CALM.matches) {
    film.hidden = true;
    film.pause();
    return;
  }
  film.onplaying = () => { film.hidden = false; };
  film.onerror = () => { film.hidden = true; };
  if (film.getAttribute('src') !== url) film.src = url;
  film.play().catch(() => {});
};
const meet = async () => {
  const own = $('photo').files[0];
  const picture = await createImageBitmap(await photo()).catch(() => null);
  if (live || !picture) return;
  const face = $('face'), scale = MOST_PX / Math.max(picture.width, picture.height);
  face.width = Math.round(scale * picture.width);
  face.height = Math.round(scale * picture.height);
  face.getContext('2d').drawImage(picture, 0, 0, face.width, face.height);
  if (!own) {
    quiet.leave();
    idle(`${$('portrait').value}/idle`);
  } else if (!CALM.matches) await revive(own);
};
const revive = async (own) => {
  const asked = () => !live && $('photo').files[0] === own;
  try {
    const film = await quiet.film(own);
    if (film && asked()) idle(film);
  } catch (error) {
    if (asked()) say('problem', error.message);
  }
};
const change = () => {
  if (!live) idle(null);
  say('problem', '');
  meet();
};
$('portrait').onchange = () => { suit(); $('photo').value = ''; change(); };
$('photo').onchange = change;
meet();

// Names of devices are known once the microphone was allowed; what was chosen stays chosen.
const listDevices = async () => {
  const found = await navigator.mediaDevices?.enumerateDevices().catch(() => []) ?? [];
  const fill = (id, kind, usual, ...more) => {
    const list = $(id), before = list.value;
    const named = found.filter((one) => one.kind === kind && one.label && !['', 'default', 'communications'].includes(one.deviceId));
    list.replaceChildren(new Option(usual, ''), ...named.map((one) => new Option(one.label, one.deviceId)), ...more);
    list.value = before;
    if (list.selectedIndex < 0) list.value = '';
  };
  fill('microphone', 'audioinput', 'the usual one');
  fill('camera', 'videoinput', 'the usual one', new Option('none', 'none'));
  fill('loudspeaker', 'audiooutput', 'the usual one');
  $('speakers').hidden = !('setSinkId' in AudioContext.prototype);
};
listDevices();
navigator.mediaDevices?.addEventListener('devicechange', listDevices);
const camera = () => $('camera').value === 'none' ? null : $('camera').value;
const switched = (doing) => doing?.catch(() => { $('problem').textContent = 'That device cannot be used just now. Choose another.'; });
$('microphone').onchange = ({target}) => switched(live?.use('microphone', target.value).then(() => attend()));
$('camera').onchange = () => switched(live?.use('camera', camera()));
$('loudspeaker').onchange = ({target}) => switched(live?.speakThrough(target.value));

// -- how large ----------------------------------------------------------------------------------

// Automatic: a size that the server makes easily; one that was too much is not tried again.
const size = {
  now: SIZES[0], most: SIZES.at(-1), asked: 0,
  get automatic() { return $('size').value === '0'; },
  begin() {
    this.most = SIZES.at(-1);
    this.asked = 0;
    this.now = this.automatic ? SIZES[0] : Number($('size').value);
    return this.now;
  },
  ask(wanted) {
    if (wanted === this.now || this.asked) return;
    this.asked = wanted;
    live.tell({type: 'size', size: wanted});
  },
  // The picture is not shown larger than it can be without a blur.
  came(width, height) {
    this.now = this.asked || this.now;
    this.asked = 0;
    live.paces = [];
    $('face').width = width;
    $('face').height = height;
    $('view').style.setProperty('--most', `${Math.min(MOST_PX, Math.round(SHARP * Math.max(width, height)))}px`);
  },
  judge(usual, known) {
    if (!this.automatic || this.asked || known < KNOWN) return;
    const place = SIZES.indexOf(this.now);
    if (usual > 0.8 * PIECE_MS && place > 0) {
      this.most = SIZES[place - 1];
      this.ask(this.most);
    } else if (usual < FAIR_MS) {
      const next = usual < EASY_MS ? SIZES.at(-1) : SIZES[Math.min(place + 1, SIZES.length - 1)];
      this.ask(Math.min(this.most, Math.max(next, this.now)));
    }
  },
};
$('size').onchange = () => { if (live?.connected && !size.automatic) size.ask(Number($('size').value)); };

// -- what was said --------------------------------------------------------------------------------

let captionTimer;
const caption = (who, text) => {
  const line = document.createElement('li');
  line.translate = false; // it is somebody's own
  line.textContent = `${inWords(who === 'agent' ? 'It' : 'You')}: ${text}`;
  $('said').append(line);
  if ($('said').children.length > 200) $('said').firstChild.remove();
  $('said').scrollTop = $('said').scrollHeight;
  const shown = document.createElement('span');
  shown.textContent = line.textContent;
  shown.dir = 'auto';
  shown.translate = false;
  $('caption').replaceChildren(shown);
  clearTimeout(captionTimer);
  captionTimer = setTimeout(() => $('caption').replaceChildren(), CAPTION_MS + 50 * text.length);
};
const pressed = (button, on) => button.setAttribute('aria-pressed', String(on));
$('captions').onclick = ({currentTarget}) => {
  $('caption').hidden = !$('caption').hidden;
  pressed(currentTarget, !$('caption').hidden);
};

// What the visitor says is written down by their browser, if they want it to; nothing is while they are mute.
const ear = new Ear((text) => caption('visitor', text), () => {
  pressed($('mine'), false);
  say('problem', 'Your browser could not write down what you say.');
});
const attend = () => {
  const wanted = live?.connected && !live.muted && $('mine').getAttribute('aria-pressed') === 'true';
  if (wanted) ear.open(live.media.getAudioTracks()[0]); else ear.close();
};
$('mine').hidden = !Ear.kind;
$('mine').onclick = ({currentTarget}) => {
  pressed(currentTarget, currentTarget.getAttribute('aria-pressed') === 'false');
  attend();
};

// -- while one talks ------------------------------------------------------------------------------

const say = (id, text) => { if ($(id).textContent !== text) $(id).textContent = text; };
const hearing = () => live?.muted ? 'It does not hear you' : 'It listens';
const news = {
  ready({width, height, notice}) {
    say('notice', notice);
    for (const id of WHILE_LIVE) $(id).disabled = false;
    say('state', hearing());
    say('problem', '');
    size.came(width, height);
    listDevices();
    attend();
  },
  size({width, height}) { size.came(width, height); },
  chunk(message) { say('state', message.agent_speaks ? 'It speaks' : message.visitor_speaks ? 'It listens to you' : hearing()); },
  caption({who, text}) { caption(who, text); },
  interrupt({milliseconds}) { say('barge', `${inWords('it fell silent after')} ${milliseconds} ms`); $('caption').replaceChildren(); },
  state(text) { say('state', text); },
  problem(text) { say('problem', text); },
  devices(text) { say('problem', text); listDevices(); },
  slow(text) { say('slow', text); },
  pace({usual, known}) { say('server', pace(usual)); size.judge(usual, known); },
  delay(ms) { say('latency', lateness(ms)); },
  frame() { $('frames').textContent = ++shown; if (!$('idle').hidden) idle(null); },
  media(over) { $('stage').dataset.media = over; if (live) live.delays = []; },
  end() {
    live = null;
    attend();
    for (const id of WHILE_LIVE) $(id).disabled = true;
    pressed($('mute'), false);
    say('connect', 'Start the conversation');
    say('state', 'Not connected');
    say('slow', '');
    $('caption').replaceChildren();
    meet();
    if (document.activeElement === document.body) $('connect').focus();
  },
};

$('connect').onclick = async () => {
  if (live) return live.end();
  quiet.leave();
  say('problem', '');
  say('connect', 'End the conversation');
  say('state', 'Connecting');
  const devices = {microphone: $('microphone').value, camera: camera(), loudspeaker: $('loudspeaker').value};
  const talk = live = new Talk({face: $('face'), far: $('far'), me: $('me')}, devices, (what, value) => news[what](value));
  try {
    const portrait = await base64(await photo());
    await talk.start({portrait, emotion: $('emotion').value, size: size.begin()});
  } catch (error) {
    say('problem', ['NotAllowedError', 'NotFoundError', 'OverconstrainedError'].includes(error.name)
      ? 'A microphone is needed: allow it for this page.' : String(error.message));
    talk.end();
  }
};
$('end').onclick = () => { live?.end(); $('connect').focus(); };
$('mute').onclick = ({currentTarget}) => { live?.mute(!live.muted); pressed(currentTarget, live?.muted ?? false); say('state', hearing()); attend(); };
$('full').hidden = !document.fullscreenEnabled;
$('full').onclick = () => document.fullscreenElement ? document.exitFullscreen() : $('screen').requestFullscreen();
document.addEventListener('fullscreenchange', () => pressed($('full'), document.fullscreenElement !== null));
$('say').onclick = () => live?.tell({type: 'say', text: $('words').value, voice: $('speaker').value});
$('ask').onclick = () => live?.tell({type: 'ask', text: $('words').value, voice: $('speaker').value});
$('stop').onclick = () => live?.tell({type: 'stop'});
$('voice').onchange = ({target}) => target.files[0] && live?.speak(target.files[0]).catch(
  () => say('problem', 'That file cannot be read as sound.'));
addEventListener('pagehide', () => { quiet.leave(); live?.end(); });
