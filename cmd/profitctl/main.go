// Profitctl is the command line of people, applications and the helpdesk to profitd, the service that holds this
// device's Profit tokens. Of ours it imports ipc alone, and it never opens a keystore itself.
//
// What every command keeps to: the answer goes to standard output, everything else to standard error. Each error ends
// in what to do next and in one of the exit codes of errors.go. With --json the answer is the API's, and so is an
// error. Text that comes from elsewhere cannot steer a terminal (ui.go). Secrets never come from arguments, where
// other accounts could read them. Ctrl-C ends it at once and quietly, as the system does without being asked: what the
// service has begun it ends by itself.
package main

import "os"

func main() { os.Exit(run(os.Args[1:])) }
