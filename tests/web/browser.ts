// The browser that the pages are tried in.
import { chromium, type Browser } from "playwright-core";

// No network but that of the page, and no sandbox of its own: as root, Chromium does not start with one.
const CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];
CHROMIUM_FLAGS.push("--disable-background-networking", "--disable-component-update", "--disable-sync");
export const WAIT_MS = 120_000;

export const launchBrowser = (): Promise<Browser> =>
  chromium.launch({ executablePath: "/usr/bin/chromium", args: CHROMIUM_FLAGS, timeout: WAIT_MS });
