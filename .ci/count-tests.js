/**
 * `node .ci/count-tests.js REPORT...`: adds up JSON reports of vitest in one line. A skipped test counts as
 * failed, and so does a file that could not be loaded or a report that is not there.
 */
import { readFileSync } from 'node:fs'

let passed = 0
const failed = []
for (const path of process.argv.slice(2)) {
  const report = read(path)
  if (report === undefined || report.numPassedTests === 0) failed.push(`nothing has passed: ${path}`)
  if (report === undefined) continue
  const before = failed.length
  passed += report.numPassedTests
  for (const { name, status, assertionResults: tests } of report.testResults) {
    const wrong = tests.filter(test => test.status !== 'passed')
    failed.push(...wrong.map(test => `${test.status}: ${test.fullName}`))
    if (status === 'failed' && wrong.length === 0) failed.push(`not loaded: ${name}`)
  }
  // Such as an error that no test waited for.
  if (!report.success && failed.length === before) failed.push(`the run failed: ${path}`)
}
for (const reason of failed) console.log(reason)
console.log(`${passed} passed, ${failed.length} failed`)
if (failed.length > 0) process.exitCode = 1

function read (path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return undefined
  }
}
