// The account page in a real browser, whose virtual authenticator keeps passkeys: what its user does there, from a password to a
// sign-in without one.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, describe, test } from "node:test";
import jsQR from "jsqr";
import type { Browser, CDPSession, Page } from "playwright-core";
import { launchBrowser, WAIT_MS } from "./browser.js";
import { freshEmail, linkInMail, PASSWORD, signUp, URL_OF_STACK } from "./stack.js";

// Passkeys belong to a name, not to an address.
const URL_BY_NAME = URL_OF_STACK.replace("127.0.0.1", "localhost");
const OTHER_PASSWORD = "seven purple elephants dance";

let browser: Browser;

before(async () => {
  browser = await launchBrowser();
});

after(async () => {
  await browser.close();
});

async function addAuthenticator(page: Page): Promise<CDPSession> {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("WebAuthn.enable");
  await cdp.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2",
      transport: "internal",
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  return cdp;
}

// Opens the page in a browser of its own, and collects what breaks its policy or leaves it.
async function open(width: number, refused: string[]): Promise<Page> {
  const context = await browser.newContext({ viewport: { width, height: 900 } });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  page.on("pageerror", (error) => refused.push(error.message));
  page.on("console", (message) => {
    if (message.text().includes("Content Security Policy")) refused.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(URL_BY_NAME) && !request.url().startsWith("data:")) refused.push(request.url());
  });
  await page.goto(`${URL_BY_NAME}/account`);
  return page;
}

const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true });
const note = (page: Page, text: string) => page.locator("#note").getByText(text).waitFor();

async function signIn(page: Page, email: string, password: string): Promise<void> {
  await page.getByLabel("E-mail", { exact: true }).fill(email);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await button(page, "Sign in").click();
}

// What an authenticator app shows (RFC 6238).
function codeOf(secret: string): string {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bits = [...secret].map((letter) => letters.indexOf(letter).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from((bits.match(/[01]{8}/g) ?? []).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const hash = createHmac("sha1", key).update(counter).digest();
  const number = hash.readUInt32BE((hash[19] ?? 0) & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, "0");
}

// What a telephone reads from an image of the page: drawn on a page without a policy, decoded by a library that knows nothing of
// the encoder.
async function scan(image: string): Promise<string> {
  const page = await browser.newPage();
  const { data, side } = await page.evaluate(async (url) => {
    const picture = new Image(480, 480);
    picture.src = url;
    await picture.decode();
    const canvas = new OffscreenCanvas(480, 480);
    const context = canvas.getContext("2d");
    if (context === null) throw new Error("no canvas");
    context.drawImage(picture, 0, 0, 480, 480);
    return { data: Array.from(context.getImageData(0, 0, 480, 480).data), side: 480 };
  }, image);
  await page.close();
  return jsQR.default(Uint8ClampedArray.from(data), side, side)?.data ?? "nothing";
}

async function readMe(key: string): Promise<number> {
  const reply = await fetch(`${URL_OF_STACK}/v1/users/me`, { headers: { Authorization: `Bearer ${key}` } });
  return reply.status;
}

async function assertFits(page: Page): Promise<void> {
  const [content, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth] as const);
  assert.ok(content <= screen, `the page is ${content} pixels wide on a screen of ${screen}`);
}

for (const width of [1280, 390])
  describe(`the account page, ${width} pixels wide`, () => {
    const email = freshEmail();
    const refused: string[] = [];
    let page: Page;

    before(async () => {
      await signUp(email);
      page = await open(width, refused);
      await addAuthenticator(page);
    });

    after(async () => {
      await page.context().close();
    });

    test("says why a sign-in is refused", async () => {
      await signIn(page, email, "not the password");
      await note(page, "the e-mail address or the password is wrong");
      await assertFits(page);
    });

    test("signs in by password and shows the session", async () => {
      await signIn(page, email, PASSWORD);
      await page.locator("#who").getByText("Ada Lovelace").waitFor();
      await page.locator("#sessions li").getByText("this one").waitFor();
      assert.equal(await page.locator("#sessions li").count(), 1);
      await assertFits(page);
    });

    test("names a session", async () => {
      page.once("dialog", (dialog) => void dialog.accept("Ada's desk"));
      await button(page, "Name").click();
      await page.locator("#sessions li").getByText("Ada's desk").waitFor();
    });

    test("adds a passkey, and signs in with nothing but it", async () => {
      await page.getByLabel("Name of the passkey").fill("Ada's key");
      await button(page, "Add a passkey").click();
      await note(page, "The passkey was added.");
      await page.locator("#factors li").getByText("Ada's key").waitFor();
      await button(page, "Sign out").click();
      await button(page, "Sign in with a passkey").click();
      await page.locator("#who").getByText("Ada Lovelace").waitFor();
    });

    test("does not add a second passkey of the same device", async () => {
      await button(page, "Add a passkey").click();
      await note(page, "This device has a passkey of the account already.");
    });

    test("changes the password, and stays signed in when it is loaded again", async () => {
      await page.getByLabel("Current password").fill(PASSWORD);
      await page.locator("#change-form").getByLabel("New password").fill(OTHER_PASSWORD);
      await button(page, "Change the password").click();
      await note(page, "The password was changed");
      await page.reload();
      await page.locator("#who").getByText("Ada Lovelace").waitFor();
    });

    test("adds an app, and takes the passkey as the second step of a login", async () => {
      await button(page, "Add an authenticator app").click();
      const secret = await page.locator("#totp-secret").getByText(/^[A-Z2-7]+$/).innerText();
      const scanned = await scan((await page.locator("#totp-qr").getAttribute("src")) ?? "");
      assert.equal(scanned, await page.locator("#totp-link").getAttribute("href"));
      assert.ok(scanned.includes(`secret=${secret}`), scanned);
      assert.ok(await page.locator("#totp-qr").evaluate((image: HTMLImageElement) => image.complete && image.naturalWidth > 0));
      await page.getByLabel("Code that the app shows").fill(codeOf(secret));
      await button(page, "Confirm the app").click();
      await page.locator("#recovery-codes li").first().waitFor();
      assert.equal(await page.locator("#recovery-codes li").count(), 10);
      await page.locator("#codes-left").getByText("10 recovery codes are left.").waitFor();
      await assertFits(page);
      await button(page, "Sign out").click();
      await signIn(page, email, OTHER_PASSWORD);
      await button(page, "Use a passkey").click();
      await page.locator("#who").getByText("Ada Lovelace").waitFor();
      assert.equal(await page.locator("#recovery-codes li").count(), 0);
      assert.equal(await page.locator("#totp-qr").getAttribute("src"), null);
    });

    test("makes an API key, shows it once, and revokes it", async () => {
      await button(page, "Make an API key").click();
      await page.getByLabel("Name of the key").fill("nightly import");
      await button(page, "Make the key").click();
      await note(page, "Choose what the key may do.");
      // What only admins and those whom they allow it hold is not offered.
      await page.getByLabel("items:write", { exact: true }).waitFor();
      assert.equal(await page.getByLabel("items:write:any", { exact: true }).count(), 0);
      assert.equal(await page.getByLabel("roles:write", { exact: true }).count(), 0);
      await page.getByLabel("users:read", { exact: true }).check();
      await page.getByLabel("Its last day").fill("2100-01-31");
      await button(page, "Make the key").click();
      await note(page, "The key was made.");
      const key = await page.locator("#new-key-text").innerText();
      assert.match(key, /^bhk_[0-9A-Za-z]{49}$/);
      assert.equal(await readMe(key), 200);
      const line = page.locator("#keys li", { hasText: "nightly import" });
      await line.getByText(key.slice(0, 12)).waitFor();
      await line.getByText("users:read").waitFor();
      await line.getByText("2100").waitFor();
      await assertFits(page);
      await line.getByRole("button", { name: "Revoke" }).click();
      await note(page, "The key was revoked.");
      await line.waitFor({ state: "detached" });
      await page.reload();
      await page.locator("#who").getByText("Ada Lovelace").waitFor();
      assert.ok(!(await page.content()).includes(key), "the key is shown again");
    });

    test("removes the passkey", async () => {
      const line = page.locator("#factors li", { hasText: "Ada's key" });
      await line.getByRole("button", { name: "Remove" }).click();
      await note(page, "It was removed.");
      await line.waitFor({ state: "detached" });
    });

    test("ends its own session", async () => {
      await button(page, "End").first().click();
      await button(page, "Sign in with a passkey").waitFor();
    });

    test("breaks no policy and asks nobody else", () => {
      assert.deepEqual(refused, []);
    });
  });

test("a link of a mail is followed on the page, and its token leaves the address", async () => {
  const refused: string[] = [];
  const page = await open(1280, refused);
  await page.goto(`${URL_BY_NAME}/account#reset=0hT9mJ4yXq2vWc7rLk1sPz8nBd5gFa3e0hT9mJ4yXq2`);
  await page.locator("#reset-form").getByLabel("New password").fill(OTHER_PASSWORD);
  assert.equal(await page.evaluate(() => location.href), `${URL_BY_NAME}/account`);
  await button(page, "Set the password").click();
  await note(page, "the link is unknown, used or too old");
  assert.deepEqual(refused, []);
  await page.context().close();
});

// Follows a link as a mail's reader does, in the tab that the page is open in.
async function follow(page: Page, link: string, title: string, done: string): Promise<void> {
  await page.goto(link);
  await page.getByRole("heading", { name: title, exact: true }).waitFor();
  assert.equal(await page.evaluate(() => location.href), `${URL_BY_NAME}/account`, "the token leaves the address");
  await button(page, "Confirm").click();
  await note(page, done);
}

test("links of mails confirm an address, change it and take the change back", async () => {
  const refused: string[] = [];
  const [first, second] = [freshEmail(), freshEmail()];
  await signUp(first);
  const page = await open(1280, refused);
  const confirm = await linkInMail(first, "Confirm your e-mail address");
  await follow(page, confirm, "Confirm this e-mail address", "The address was confirmed.");

  await page.goto(confirm);
  await button(page, "Confirm").click();
  await note(page, "the link is unknown, used or too old");

  await page.reload();
  await signIn(page, first, PASSWORD);
  await page.getByLabel("New e-mail").fill(second);
  await button(page, "Change the e-mail").click();
  await note(page, "A mail with a link is on its way to the new address.");
  const change = await linkInMail(second, "Confirm your new e-mail address");
  await follow(page, change, "Confirm this e-mail address", "The address was confirmed.");

  // All sessions have ended, also that of this tab, which says what was done nevertheless.
  const undo = await linkInMail(first, "Your e-mail address was changed");
  await follow(page, undo, "Take back the change of the e-mail", "The change was taken back.");
  await signIn(page, first, PASSWORD);
  await page.getByRole("heading", { name: "Sessions", exact: true }).waitFor();
  assert.deepEqual(refused, []);
  await page.context().close();
});
