// A photo of one's own, alive before the conversation begins: the server draws a short loop of it, once,
// as a video of this visitor's, and stops when they go on. page.js shows it.
'use strict';

const VIDEOS = '/v1/videos', LOOK_MS = 300, UNDER_WAY = ['queued', 'running'];

class Quiet {
  films = new Map();  // of photos that were drawn: where the loop is, in this browser
  job = null;         // what is drawn now

  // The address of a photo's loop; null where it was not waited for, or the server has no time for it. Throws an
  // Error that says what is wrong with the photo.
  async film(photo) {
    const name = `${photo.name} ${photo.size} ${photo.lastModified}`;
    this.leave();
    if (this.films.has(name)) return this.films.get(name);
    const job = this.job = {id: null, over: false};
    try {
      const film = await this.draw(photo, job);
      if (film) this.films.set(name, film);
      return film;
    } finally {
      if (this.job === job) this.job = null;
      this.forget(job);
    }
  }

  async draw(photo, job) {
    const form = new FormData();
    form.append('portrait', photo, photo.name);
    form.append('motion', await (await fetch(MOTION)).blob(), 'quiet.npz');
    form.append('size', '256');
    form.append('quality', 'live');
    const asked = await fetch(VIDEOS, {method: 'POST', body: form});
    let told = await asked.json();
    if (asked.status === 422) throw new Error(told.detail);
    if (!asked.ok) return null;
    job.id = told.id;
    while (!job.over && UNDER_WAY.includes(told.state)) {
      await new Promise((done) => { setTimeout(done, LOOK_MS); });
      told = await (await fetch(`${VIDEOS}/${job.id}`)).json();
    }
    if (job.over) return null;
    if (told.state !== 'succeeded') throw new Error(told.error ?? '');
    return URL.createObjectURL(await (await fetch(told.content_url)).blob());
  }

  // Nobody waits for it any longer.
  leave() {
    if (!this.job) return;
    this.job.over = true;
    this.forget(this.job);
  }

  // What runs is stopped, what is there is removed: the browser has it.
  forget(job) {
    if (job.id) fetch(`${VIDEOS}/${job.id}`, {method: 'DELETE', keepalive: true}).catch(() => {});
  }
}
