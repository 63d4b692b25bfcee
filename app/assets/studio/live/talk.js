// A live conversation with the server: sound, pictures, messages, and what to do when a line breaks.
// The page hears of it by `told(what, value)`; see page.js.
'use strict';

const RATE = 16000, HEADER = 16, LEAD_S = 0.06, PICTURE_MS = 200, PICTURE_PX = 320, CHUNK = 3200;
const BEHIND_S = 3, QUIET_MS = 8000, AGAIN_S = 55, GATHER_MS = 1500, DOUBT_MS = 2000, PIECE_MS = 200;
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// The microphone in pieces of 40 ms, as 16-bit samples. The context resamples to 16 kHz.
const WORKLET = `registerProcessor('pieces', class extends AudioWorkletProcessor {
  constructor() { super(); this.kept = new Float32Array(640); this.count = 0; }
  process([input]) {
    const samples = input[0];
    if (!samples) return true;
    for (let i = 0; i < samples.length; i++) {
      this.kept[this.count++] = samples[i];
      if (this.count === 640) { this.port.postMessage(this.kept.slice()); this.count = 0; }
    }
    return true;
  }
});`;
// The portrait's own voice must not interrupt it: the browser takes it out of what it hears.
const HEARING = {echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1};

const tagged = (tag, bytes) => {
  const message = new Uint8Array(bytes.byteLength + 1);
  message[0] = tag;
  message.set(new Uint8Array(bytes.buffer ?? bytes), 1);
  return message;
};
const placed = (at, samples) => {
  const message = new DataView(new ArrayBuffer(9 + 2 * samples.length));
  message.setUint8(0, 0x04);
  message.setBigUint64(1, BigInt(at), true);
  samples.forEach((x, i) => message.setInt16(9 + 2 * i, x, true));
  return message.buffer;
};
const toInt16 = (samples) => Int16Array.from(samples, (x) => Math.max(-1, Math.min(1, x)) * 32767);
const base64 = async (blob) => new Promise((done) => {
  const reader = new FileReader();
  reader.onload = () => done(reader.result.split(',')[1]);
  reader.readAsDataURL(blob);
});

class Talk {
  // `devices` are ids: {microphone, camera, loudspeaker}; a camera of null is none, '' the usual.
  constructor(view, devices, told) {
    this.view = view;       // {face, far, me}
    this.devices = devices;
    this.told = told;
    this.sent = 0;          // samples of the visitor's voice so far
    this.made = 0;          // of these, what frames were made for
    this.caught = [];       // [samples sent, when the last of them was spoken]
    this.zero = null;       // context time at which sample 0 of the agent is heard
    this.pictures = [];     // frames that wait for their time
    this.stamps = [];       // [time stamp, samples] of pieces over WebRTC
    this.gaps = 0;          // seconds of silence because sound came too late
    this.captions = [];     // sentences that wait for theirs
    this.sounds = new Set();
    this.delays = [];
    this.paces = [];        // milliseconds that the server took for each piece
    this.slow = this.late = this.muted = this.over = false;
    this.session = null;    // its name on the server, once it has begun
  }

  async start(first) {
    if (!navigator.mediaDevices) throw new Error('Browsers give a microphone only to pages over https or on localhost.');
    this.media = await this.capture(true, this.devices.camera !== null);
    this.context = new AudioContext({sampleRate: RATE, latencyHint: 'interactive'});
    await this.context.resume();
    const module = URL.createObjectURL(new Blob([WORKLET], {type: 'text/javascript'}));
    await this.context.audioWorklet.addModule(module);
    URL.revokeObjectURL(module);
    this.node = new AudioWorkletNode(this.context, 'pieces');
    this.node.port.onmessage = ({data}) => this.send(data);
    this.listenTo();
    this.showSelf();
    await this.speakThrough(this.devices.loudspeaker).catch(() => this.told('problem', 'That speaker cannot be used; the usual one is.'));
    this.watch = setInterval(() => this.lookAtLine(), 1000);
    this.connect({...first, type: 'start', video: 'jpeg'});
    this.draw();
  }

  // -- devices ------------------------------------------------------------------------------

  capture(sound, picture) {
    const wanted = (id, more) => ({...more, ...(id ? {deviceId: {exact: id}} : {})});
    const audio = sound && wanted(this.devices.microphone, HEARING);
    const video = picture && wanted(this.devices.camera, {width: 640});
    return navigator.mediaDevices.getUserMedia({audio, video}).catch((error) => {
      if (!sound || !picture) throw error;
      return navigator.mediaDevices.getUserMedia({audio});  // without a camera one can still talk
    });
  }

  // Another microphone or camera while one talks.
  async use(kind, id) {
    const sound = kind === 'microphone';
    const before = {...this.devices};
    this.devices[kind] = id;
    const fresh = !sound && id === null ? [] : (await this.capture(sound, !sound).catch((error) => {
      this.devices = before;
      throw error;
    })).getTracks();
    for (const track of sound ? this.media.getAudioTracks() : this.media.getVideoTracks()) {
      track.onended = null;
      track.stop();
      this.media.removeTrack(track);
    }
    for (const track of fresh) this.media.addTrack(track);
    if (sound) this.listenTo(); else this.showSelf();
  }

  async speakThrough(id) {
    this.devices.loudspeaker = id;
    if (this.context.setSinkId) await this.context.setSinkId(id);
    if (this.view.far.setSinkId) await this.view.far.setSinkId(id);
  }

  listenTo() {
    this.source?.disconnect();
    this.source = this.context.createMediaStreamSource(this.media);
    this.source.connect(this.node);
    const [track] = this.media.getAudioTracks();
    track.enabled = !this.muted;
    track.onended = () => this.use('microphone', '').then(
      () => this.told('devices', 'The microphone was unplugged; the usual one is used.'),
      () => this.told('problem', 'The microphone was unplugged. Plug one in and choose it.'));
  }

  mute(silent) {
    this.muted = silent;
    for (const track of this.media?.getAudioTracks() ?? []) track.enabled = !silent;
  }

  showSelf() {
    const {me} = this.view;
    clearInterval(this.timer);
    const seen = this.media.getVideoTracks().length > 0;
    me.hidden = !seen;
    me.srcObject = seen ? this.media : null;
    if (!seen) return;
    me.play().catch(() => {});
    const canvas = document.createElement('canvas');
    this.timer = setInterval(() => {
      if (!me.videoWidth || !this.connected) return;
      canvas.width = PICTURE_PX;
      canvas.height = Math.round(PICTURE_PX * me.videoHeight / me.videoWidth);
      canvas.getContext('2d').drawImage(me, 0, 0, canvas.width, canvas.height);
      canvas.toBlob(async (blob) => {
        // A line that is slow shall carry the voice: a picture that is late is of no use.
        if (blob && this.connected && this.socket.bufferedAmount < 20000) this.socket.send(tagged(0x02, await blob.arrayBuffer()));
      }, 'image/jpeg', 0.7);
    }, PICTURE_MS);
  }

  // -- the line -------------------------------------------------------------------------------

  get connected() { return this.ready && this.socket.readyState === 1; }

  connect(first) {
    const address = new URL(SOCKET, location.href);
    address.protocol = address.protocol.replace('http', 'ws');
    const socket = this.socket = new WebSocket(address);
    this.ready = false;
    this.refused = null;
    this.newest = performance.now();
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => socket.send(JSON.stringify(first));
    socket.onmessage = ({data}) => {
      if (socket !== this.socket) return;
      this.newest = performance.now();
      if (typeof data === 'string') this.hear(JSON.parse(data)); else this.take(data);
    };
    socket.onclose = () => { if (socket === this.socket) this.broken(); };
  }

  // The line is gone: take the conversation up again, unless the server has said why not.
  async broken() {
    this.hangUp();
    this.ready = false;
    const told = this.refused;
    const busy = told?.status === 429 && this.lostAt;  // the server has not noticed yet
    if (this.over) return;
    if (!this.session || told && !busy) {
      if (!told) this.told('problem', 'The connection failed. Is the server there?');
      else if (told.status === 404) this.told('problem', 'The conversation could not be taken up again. Start a new one.');
      this.end();
      return;
    }
    this.lostAt ??= performance.now();
    if (performance.now() - this.lostAt > AGAIN_S * 1000) {
      this.told('problem', 'The connection was lost. Start the conversation again when the network is back.');
      this.end();
      return;
    }
    this.told('state', 'The connection was lost: connecting again');
    for (const sound of this.sounds) sound.stop();
    await pause(Math.min(3000, 500 + (performance.now() - this.lostAt) / 4));
    if (!this.over) this.connect({type: 'resume', session: this.session, video: 'jpeg'});
  }

  // A network that is gone closes nothing: it is only quiet.
  lookAtLine() {
    const quiet = performance.now() - this.newest;
    if (this.connected && !this.late && (quiet > QUIET_MS || !navigator.onLine && quiet > 1000)) this.drop();
  }

  drop() {
    const socket = this.socket;
    socket.onclose = null;
    socket.close();
    this.broken();
  }

  tell(message) { if (this.connected) this.socket.send(JSON.stringify(message)); }

  hear(message) {
    if (message.type === 'ready') {
      this.ready = true;
      this.session = message.session;
      this.lostAt = null;
      this.sent = this.made;
      this.caught = [];
      this.told('ready', message);
      if (message.webrtc && window.RTCPeerConnection) this.offer(message.webrtc.ice_servers).catch(() => this.hangUp());
    } else if (message.type === 'size') {
      this.told('size', message);
    } else if (message.type === 'chunk') {
      this.refused = null;  // what was told before was no reason to end
      this.made = (message.chunk + 1) * CHUNK;
      this.sent = Math.max(this.sent, this.made);
      this.pace(message.latency_ms);
      if (message.timestamp !== undefined) this.stamps.push([message.timestamp, message.chunk * CHUNK]);
      if (this.stamps.length > 100) this.stamps.shift();
      this.told('chunk', message);
    } else if (message.type === 'caption') {
      if (message.time === undefined || this.peer?.carries) this.told('caption', message);
      else this.captions.push(message);
    } else if (message.type === 'interrupt') {
      for (const sound of this.sounds) sound.stop();
      this.sounds.clear();
      this.captions = [];
      this.told('interrupt', message);
    } else if (message.type === 'answer') {
      this.peer?.setRemoteDescription({type: 'answer', sdp: message.sdp}).catch(() => this.hangUp());
    } else if (message.type === 'media') {
      if (message.over === 'webrtc' && this.peer) this.carry(); else this.hangUp();
    } else if (message.type === 'problem') {
      this.refused = message;
      if (!(message.status === 429 && this.lostAt) && message.status !== 404) this.told('problem', message.detail);
    }
  }

  send(samples) {
    if (!this.connected) return;
    // A server that cannot follow is given less to hear: better deaf for a moment than ever later.
    this.late = this.sent - this.made > BEHIND_S * RATE;
    this.warn();
    if (this.late) return;
    const bytes = toInt16(samples);
    this.sent += samples.length;
    this.caught.push([this.sent, performance.now()]);
    if (this.caught.length > 400) this.caught.shift();
    if (this.peer?.carries && this.channel.readyState === 'open') {
      this.channel.send(placed(this.place, bytes));
      this.place += samples.length;
    } else this.socket.send(tagged(0x01, bytes));
  }

  async speak(file) {
    const sound = await this.context.decodeAudioData(await file.arrayBuffer());
    const samples = sound.getChannelData(0);
    for (let i = 0; i < samples.length; i += RATE) this.socket.send(tagged(0x03, toInt16(samples.slice(i, i + RATE))));
  }

  // -- WebRTC, where the server has it; without it, or where it does not get through, all goes on
  //    over the WebSocket ----------------------------------------------------------------------

  async offer(servers) {
    const peer = this.peer = new RTCPeerConnection({iceServers: servers});
    const stream = new MediaStream();
    this.channel = peer.createDataChannel('voice', {ordered: false, maxRetransmits: 0});
    for (const kind of ['audio', 'video']) {
      const {receiver} = peer.addTransceiver(kind, {direction: 'recvonly'});
      if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = 0;
      stream.addTrack(receiver.track);
    }
    this.view.far.srcObject = stream;
    peer.onconnectionstatechange = async () => {
      if (peer.connectionState === 'disconnected') await pause(DOUBT_MS);  // it may come back
      if (['disconnected', 'failed'].includes(peer.connectionState) && peer === this.peer) this.hangUp();
    };
    await peer.setLocalDescription();
    const gathered = new Promise((done) => { peer.onicegatheringstatechange = () => peer.iceGatheringState === 'complete' && done(); });
    if (peer.iceGatheringState !== 'complete') await Promise.race([gathered, pause(GATHER_MS)]);
    if (peer === this.peer) this.tell({type: 'offer', sdp: peer.localDescription.sdp});
  }

  carry() {
    const {far} = this.view;
    this.peer.carries = true;
    this.place = 0;
    far.hidden = false;
    far.play().catch(() => {});
    this.stamps = [];
    this.origin = undefined;
    const shown = (now, frame) => {
      if (far.hidden) return;
      this.told('frame');
      this.stamped(frame);
      far.requestVideoFrameCallback(shown);
    };
    far.requestVideoFrameCallback?.(shown);
    this.told('media', 'webrtc');
  }

  hangUp() {
    if (!this.peer) return;
    const {peer} = this;
    this.peer = null;
    this.view.far.hidden = true;
    this.view.far.srcObject = null;
    peer.close();
    this.tell({type: 'hang_up'});
    this.told('media', 'websocket');
  }

  // A frame's time stamp says which sound it answers, counted from the first that was shown.
  stamped({rtpTimestamp}) {
    if (rtpTimestamp === undefined || !this.stamps.length) return;
    this.origin ??= rtpTimestamp - this.stamps[0][0];
    const stamp = (rtpTimestamp - this.origin) >>> 0;
    const [from, time] = this.stamps.findLast(([from]) => from <= stamp) ?? [];
    if (time !== undefined) this.answers(time + (stamp - from) * RATE / 90000);
  }

  // -- what comes out ---------------------------------------------------------------------------

  // A piece of sound has to be done before the next one is there.
  pace(ms) {
    this.paces.push(ms);
    if (this.paces.length > 25) this.paces.shift();
    const usual = median(this.paces);
    this.slow = this.paces.length >= 10 && usual > PIECE_MS;
    this.told('pace', {usual, known: this.paces.length});
    this.warn();
  }

  warn() {
    this.told('slow', this.late ? 'This server is too slow for a live conversation just now: it leaves out some of what you say.'
      : this.slow ? 'This server is slow just now: the picture may stutter. A smaller picture, a quick voice and no camera help.' : '');
  }

  // A picture is shown that answers what was spoken until then.
  answers(time) {
    const spoken = this.caught.find(([count]) => count >= time);
    if (!spoken) return;
    this.delays.push(performance.now() - (spoken[1] - (spoken[0] - time) / RATE * 1000));
    if (this.delays.length > 50) this.delays.shift();
    this.told('delay', median(this.delays));
  }

  take(data) {
    const head = new DataView(data), what = head.getUint8(0), time = Number(head.getBigUint64(8, true));
    const now = this.context.currentTime;
    if (this.zero === null || this.zero + time / RATE < now) {
      const zero = now + LEAD_S - time / RATE;
      this.gaps += zero - (this.zero ?? zero);
      this.zero = zero;
    }
    if (what === 0x13) {
      const samples = new Int16Array(data.slice(HEADER));
      const buffer = this.context.createBuffer(1, samples.length, RATE);
      buffer.copyToChannel(Float32Array.from(samples, (x) => x / 32767), 0);
      const source = this.context.createBufferSource();
      source.buffer = buffer;
      source.connect(this.context.destination);
      source.onended = () => this.sounds.delete(source);
      this.sounds.add(source);
      source.start(this.zero + time / RATE);
    } else if (what === 0x11) {
      createImageBitmap(new Blob([data.slice(HEADER)], {type: 'image/jpeg'})).then(
        (picture) => this.pictures.push({time, picture}));
    }
  }

  draw() {
    if (this.over) return;
    const at = (this.context.currentTime - (this.zero ?? 0)) * RATE;
    while (this.captions.length && this.captions[0].time <= at) this.told('caption', this.captions.shift());
    let due = null;
    while (this.pictures.length && this.pictures[0].time <= at) due = this.pictures.shift();
    if (due !== null) {
      const {face} = this.view;
      if (face.width !== due.picture.width || face.height !== due.picture.height) {
        face.width = due.picture.width;
        face.height = due.picture.height;
      }
      face.getContext('2d').drawImage(due.picture, 0, 0);
      this.told('frame');
      this.answers(due.time);
    }
    requestAnimationFrame(() => this.draw());
  }

  end() {
    if (this.over) return;
    this.tell({type: 'end'});
    this.over = true;
    this.hangUp();
    this.socket?.close();
    clearInterval(this.timer);
    clearInterval(this.watch);
    this.media?.getTracks().forEach((track) => { track.onended = null; track.stop(); });
    this.context?.close();
    this.view.me.hidden = true;
    this.told('end');
  }
}
