// Captions of what the visitor says, by the recogniser of their browser: where it has one, and only
// when they are asked for, because some browsers send a voice to their maker to be written down.
'use strict';

const SOON_MS = 250;
const HARMLESS = ['no-speech', 'aborted'];

class Ear {
  // `heard(text)` is called for each sentence, `failed()` when no more will come.
  constructor(heard, failed) {
    this.heard = heard;
    this.failed = failed;
    this.recogniser = null;
  }

  static get kind() { return window.SpeechRecognition ?? window.webkitSpeechRecognition; }

  // Write down what comes from a microphone's track, on this device where that is possible.
  async open(track) {
    this.close();
    const one = this.recogniser = new Ear.kind();
    one.continuous = true;
    one.lang = navigator.language;
    one.onresult = ({resultIndex, results}) => {
      for (const result of [...results].slice(resultIndex)) {
        const text = result[0].transcript.trim();
        if (result.isFinal && text) this.heard(text);
      }
    };
    one.onerror = ({error}) => { if (one === this.recogniser && !HARMLESS.includes(error)) this.give(); };
    one.onend = () => setTimeout(() => this.begin(one, track), SOON_MS);  // some end after each sentence
    const here = await Ear.kind.available?.({langs: [one.lang], processLocally: true}).catch(() => '');
    if (here === 'available') one.processLocally = true;
    this.begin(one, track);
  }

  begin(one, track) {
    if (one !== this.recogniser) return;
    try { one.start(track); } catch { this.give(); }
  }

  give() {
    this.close();
    this.failed();
  }

  close() {
    const one = this.recogniser;
    this.recogniser = null;
    one?.abort();
  }
}
