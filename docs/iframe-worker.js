// Search where the site is read from files: a browser starts no worker there, so its script runs in a hidden frame.
// The name of this file keeps the theme's plugin "offline" from loading a script of that name from the network, and the
// name of the class tells the theme's worker that it runs in a frame.
"use strict";

class IFrameWorker extends EventTarget {
  constructor(url) {
    super();
    const frame = document.createElement("iframe");
    frame.hidden = true;
    document.body.append(frame);
    this.inner = frame.contentWindow;
    this.inner.document.open();
    this.inner.document.write("<body></body>");
    this.inner.document.close();
    this.inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
    const script = this.inner.document.createElement("script");
    script.src = new URL(url, document.baseURI);
    this.ready = new Promise((loaded) => script.addEventListener("load", loaded));
    this.inner.document.body.append(script);
  }

  async postMessage(data) {
    await this.ready;
    this.inner.dispatchEvent(new MessageEvent("message", { data }));
  }
}

if (location.protocol === "file:") window.Worker = window.IFrameWorker = IFrameWorker;
