// The browser of the tests: DFUSE_CHROMIUM is its program.
import { chromium } from "playwright-core"

export const launch = () =>
  chromium.launch({
    executablePath: process.env.DFUSE_CHROMIUM,
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
  })
