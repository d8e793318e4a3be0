// Prints what it is and where it runs, reads the file that it was shipped with, and uses a package of npm's.
import ms from "ms";

console.log(`program: Deno on ${Deno.build.os}/${Deno.build.arch}`);
console.log(`user: ${Deno.uid()}`);
console.log(`folder: ${Deno.cwd()}`);
console.log(`file: ${Deno.readTextFileSync("greeting.txt").trim()}`);
console.log(`dependency: ms makes ${ms(2 * 60 * 60 * 1000, { long: true })} of 7200000`);
