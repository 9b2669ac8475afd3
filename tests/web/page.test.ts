// The API's page in a real browser, at a desk and on a phone: the login form fills in the token, requests work as they are
// prefilled, and nothing is wider than the screen.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Browser, Locator, Page } from "playwright-core";
import { launchBrowser, WAIT_MS } from "./browser.js";
import { freshEmail, PASSWORD, signUp, URL_OF_STACK } from "./stack.js";

let browser: Browser;

before(async () => {
  browser = await launchBrowser();
});

after(async () => {
  await browser.close();
});

async function logIn(page: Page, email: string, password: string): Promise<void> {
  await page.getByLabel("E-mail", { exact: true }).fill(email);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Log in" }).click();
}

const operation = (page: Page, id: string): Locator => page.locator(`.opblock[id$="-${id}"]`);

// Opens an operation and sends it as the page has prefilled it; gives the status that the page shows.
async function tryOut(page: Page, id: string): Promise<string> {
  const block = operation(page, id);
  await block.locator(".opblock-summary-control").click();
  await block.locator("button.execute").click();
  const status = block.locator(".live-responses-table tbody .response-col_status").first();
  await status.waitFor();
  return (await status.innerText()).trim();
}

async function assertNothingOverflows(page: Page, where: string): Promise<void> {
  const width = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth] as const);
  assert.ok(width[0] <= width[1], `${where}: the page is ${width[0]} pixels wide on a screen of ${width[1]}`);
}

for (const [screen, width] of [["desk", 1280], ["phone", 390]] as const)
  describe(`the page at ${screen} width`, () => {
    const email = freshEmail();
    const refused: string[] = [];
    let page: Page;

    before(async () => {
      await signUp(email);
      page = await browser.newPage({ viewport: { width, height: 900 } });
      page.setDefaultTimeout(WAIT_MS);
      // What the page's Content-Security-Policy blocks, and scripts that fail.
      page.on("pageerror", (error) => refused.push(error.message));
      page.on("console", (message) => {
        if (message.text().includes("Content Security Policy")) refused.push(message.text());
      });
      page.on("request", (request) => {
        if (!request.url().startsWith(URL_OF_STACK) && !request.url().startsWith("data:")) refused.push(request.url());
      });
      await page.goto(`${URL_OF_STACK}/docs`);
      await operation(page, "ItemService_ListItems").waitFor();
    });

    after(async () => {
      await page.close();
    });

    test("fits the screen", async () => {
      await assertNothingOverflows(page, "closed");
    });

    test("says why a login is refused", async () => {
      await logIn(page, email, "not the password");
      await page.getByText("the e-mail address or the password is wrong").waitFor();
    });

    test("logs in and greets", async () => {
      await logIn(page, email, PASSWORD);
      await page.getByText("Logged in as Ada Lovelace").waitFor();
    });

    test("a GET works as it is prefilled", async () => {
      assert.equal(await tryOut(page, "ItemService_ListItems"), "200");
    });

    test("a POST works as it is prefilled, and the PATCH of what it made", async () => {
      assert.equal(await tryOut(page, "ItemService_CreateItem"), "201");
      assert.equal(await tryOut(page, "ItemService_UpdateItem"), "200");
      assert.equal(await tryOut(page, "ItemService_GetItem"), "200");
    });

    test("fits the screen with operations and schemas open", async () => {
      await page.locator(".models > h4 button").first().click();
      await page.locator(".models .json-schema-2020-12").first().waitFor();
      await assertNothingOverflows(page, "open");
    });

    test("stays logged in when it is loaded again, until the log-out", async () => {
      await page.reload();
      await page.getByText("Logged in as Ada Lovelace").waitFor();
      await page.getByRole("button", { name: "Log out" }).click();
      await page.getByRole("button", { name: "Log in" }).waitFor();
      assert.equal(await tryOut(page, "ItemService_ListItems"), "401");
    });

    test("asks nobody else and breaks no policy", () => {
      assert.deepEqual(refused, []);
    });
  });
