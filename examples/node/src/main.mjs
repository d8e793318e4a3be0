// Prints what it is and where it runs, reads the file that it was shipped with, and uses a package of npm's.
import { readFileSync } from "node:fs";
import ms from "ms";

console.log(`program: Node on ${process.platform}/${process.arch}`);
console.log(`user: ${process.getuid()}`);
console.log(`folder: ${process.cwd()}`);
console.log(`file: ${readFileSync("greeting.txt", "utf8").trim()}`);
console.log(`dependency: ms makes ${ms(2 * 60 * 60 * 1000, { long: true })} of 7200000`);
