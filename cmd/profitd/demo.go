package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/profitd/profitd/daemon"
	"github.com/profitd/profitd/daemon/service"
	"github.com/profitd/profitd/ipc"
	"github.com/profitd/profitd/profit/profittest"
)

func demoCommand() *cobra.Command {
	d := &demo{out: os.Stdout, in: bufio.NewReader(os.Stdin)}
	command := &cobra.Command{
		Use:   "demo",
		Short: "Watch the whole job on this machine, with a simulated Profit",
		Long: `Watch the whole job on this machine, with a simulated Profit: a user appears in the
configuration, a code comes by mail, the code becomes a token, an application gets the
token over the socket and calls Profit with it. It goes on serving until Ctrl-C, installs
nothing and leaves nothing behind.

With --config it serves the connectors of your own configuration instead, each with a
simulated Profit behind it, so that you can test your application against it: every
user's code arrives here, and every token belongs to the account that you are.`,
		Example: `  profitd demo
  profitd demo --once --yes
  profitd demo --config ./config.toml --socket /tmp/profitd-test/profitd.sock`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return d.run() },
	}
	flags := command.Flags()
	flags.BoolVar(&d.once, "once", false, "end when everything has been shown")
	flags.BoolVar(&d.yes, "yes", false, "take the code from the mail instead of asking for it")
	flags.BoolVar(&d.verbose, "verbose", false, "show what the service logs")
	flags.StringVar(&d.config, "config", "", "serve the connectors of this `FILE`")
	flags.StringVar(&d.socket, "socket", "", "listen at `PATH` (default: in a temporary folder)")
	return command
}

// demo is one run of the demonstration.
type demo struct {
	once, yes, verbose bool
	config, socket     string

	out   io.Writer
	in    *bufio.Reader
	lines chan string // of in; nil until somebody is asked

	dir    string // everything lies in it, and goes with it
	profit *simulation
	client *ipc.Client
	step   int

	endService context.CancelFunc // nil: it has not been started
	ended      chan struct{}      // closed when the service has ended
	serviceErr error              // how; read after ended
}

func (d *demo) run() error {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		d.yes = true // there is nobody to ask
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	err := d.show(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (d *demo) show(ctx context.Context) (err error) {
	if d.dir, err = os.MkdirTemp("", "profitd-demo-"); err != nil {
		return fmt.Errorf("cannot make a temporary folder: %w", err)
	}
	defer os.RemoveAll(d.dir)
	d.profit = newSimulation()
	defer d.profit.close()
	if d.config != "" {
		err = d.serveOwn(ctx)
	} else {
		err = d.tell(ctx)
	}
	if d.endService == nil {
		return err
	}
	if err == nil && !d.once {
		d.say("")
		d.say("Ctrl-C ends this and leaves nothing behind.")
		err = d.wait(ctx)
	}
	return errors.Join(err, d.stop())
}

// tell shows the whole job, step by step.
func (d *demo) tell(ctx context.Context) error {
	d.say("profitd demo: the whole job on this machine. Nothing is installed, and nothing stays behind.")
	own, err := ownAccount()
	if err != nil {
		return err
	}
	story := d.profit.story()
	d.next("A simulated Profit runs at %s: real TLS, with a certificate of its own.", story.server.URL())
	d.line("It knows the app connector %q and the users %s and %s.", story.connector.Description, story.users[0].ID, story.users[1].ID)

	if err := os.WriteFile(d.rootCAFile(), d.profit.rootCAs(), 0o644); err != nil {
		return err
	}
	if err := d.write(ownConfig(story, own, story.users[:1])); err != nil {
		return err
	}
	d.next("The configuration names the connector payroll and its user %s, whose token this account may have:", story.users[0].ID)
	d.line("%s", d.configFile())
	if err := d.start(ctx, ""); err != nil {
		return err
	}
	d.next("The service runs. It sees a user without a token, and asks Profit for a code by itself.")
	if err := d.enrol(ctx, story, story.users[0]); err != nil {
		return err
	}
	if err := d.beApplication(ctx, story, story.users[0]); err != nil {
		return err
	}
	d.next("An administrator adds a second user to the file. The service notices, and asks for a code; the first token is served meanwhile.")
	if err := d.write(ownConfig(story, own, story.users)); err != nil {
		return err
	}
	if err := d.enrol(ctx, story, story.users[1]); err != nil {
		return err
	}
	if !d.once {
		d.next("Look around, in another terminal:")
		d.hints("payroll", story.users[0].ID)
	}
	return nil
}

// enrol shows the mail, has the code entered, and shows the token arriving in the keystore.
func (d *demo) enrol(ctx context.Context, story story, user profittest.User) error {
	patience, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	mail, err := story.server.WaitMail(patience, user.ID)
	if err != nil {
		return d.stuck(err)
	}
	d.next("Profit mails the code to the user alone; neither profitd nor the helpdesk sees this mail:")
	d.mail(mail)
	d.next("The user enters the code, as with profitctl activate. profitd trades it for a token and stores that in the keystore.")
	entry, err := d.activate(ctx, ipc.Ref{Connector: "payroll", User: user.ID}, mail.Code)
	if err != nil {
		return err
	}
	d.line("%s is %s; the token's fingerprint is %s. It survives restarts, without another mail.", entry.User, entry.State, entry.Fingerprint)
	return nil
}

// beApplication asks for the token as any application would, and calls Profit with it.
func (d *demo) beApplication(ctx context.Context, story story, user profittest.User) error {
	started := time.Now()
	token, err := d.client.Token(ctx, ipc.Ref{Connector: "payroll", User: user.ID}, ipc.TokenQuery{})
	if err != nil {
		return err
	}
	took := time.Since(started)
	d.next("An application asks the socket for the token: GET /v1/tokens/payroll/%s", user.ID)
	d.line("It has headers to copy onto its requests after %s: Authorization: %s…", took.Round(10*time.Microsecond), token.Headers["Authorization"][:len("AfasToken PHRva")])
	d.line("profitd knows from the kernel which account the application runs as; another account is refused.")
	answer, err := story.call(ctx, "/connectors/Employees", token.Headers)
	if err != nil {
		return err
	}
	d.next("The application calls Profit with these headers: GET %s/connectors/Employees", token.BaseURL)
	d.line("%s", answer)
	return nil
}

// start runs the service on the configuration in d.dir.
func (d *demo) start(ctx context.Context, soleOwner string) error {
	if d.socket == "" {
		d.socket = filepath.Join(d.dir, "profitd.sock")
		if runtime.GOOS == "windows" {
			d.socket = `\\.\pipe\` + filepath.Base(d.dir)
		}
	}
	options := daemon.Options{
		ConfigFile: d.configFile(), StateDir: filepath.Join(d.dir, "state"), Socket: d.socket,
		SoleOwner: soleOwner, Version: version(), StopTimeout: 5 * time.Second,
	}
	if d.verbose {
		options.Log = service.Logger(logLevel(true))
	}
	running, end := context.WithCancel(ctx)
	served, err := daemon.New(running, options)
	if err != nil {
		end()
		return err
	}
	d.endService, d.ended = end, make(chan struct{})
	ready := make(chan struct{})
	go func() {
		defer close(d.ended)
		d.serviceErr = served.Run(running, func() { close(ready) })
	}()
	d.client = ipc.NewClient(ipc.ClientOptions{Socket: d.socket})
	select {
	case <-ready:
		return nil
	case <-d.ended:
		return errors.New("the service has ended") // stop says how
	}
}

// stop ends the service, and says how it ended.
func (d *demo) stop() error {
	d.client.Close()
	d.endService()
	<-d.ended
	return d.serviceErr
}

// wait serves until somebody ends it.
func (d *demo) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-d.ended:
		return nil // stop says how
	}
}

// activate has the code entered, by the person or from the mail, until it is right.
func (d *demo) activate(ctx context.Context, ref ipc.Ref, code string) (ipc.Entry, error) {
	for {
		entered := code
		if d.yes {
			d.line("(taken from the mail)")
		} else {
			fmt.Fprintf(d.out, "    Enter the code from the mail (or just Enter, to take it from there): ")
			line, err := d.readLine(ctx)
			if err != nil {
				return ipc.Entry{}, err
			}
			if line = strings.TrimSpace(line); line != "" {
				entered = line
			}
		}
		parsed, err := ipc.ParseActivationCode(entered)
		var entry ipc.Entry
		if err == nil {
			d.awaitCode(ctx, ref)
			entry, err = d.client.Activate(ctx, ref, parsed)
		}
		var problem *ipc.Error
		if d.yes || !errors.As(err, &problem) || problem.Code != ipc.InvalidCode {
			return entry, err
		}
		d.line("%s", problem.Detail)
		d.line("%s", problem.Hint)
	}
}

// awaitCode waits until the service knows that the code is on its way: this program can read the mail before Profit has
// answered the request for it. A token call that waits ends then, too.
func (d *demo) awaitCode(ctx context.Context, ref ipc.Ref) {
	_, _ = d.client.Token(ctx, ref, ipc.TokenQuery{Wait: time.Minute})
}

// readLine waits for a line of standard input, or for the end.
func (d *demo) readLine(ctx context.Context) (string, error) {
	if d.lines == nil {
		d.lines = make(chan string)
		go func() {
			defer close(d.lines)
			for {
				line, err := d.in.ReadString('\n')
				if err != nil {
					return
				}
				d.lines <- line
			}
		}()
	}
	select {
	case line, open := <-d.lines:
		if !open { // Ctrl-D: nobody is there any more
			d.yes = true
			fmt.Fprintln(d.out)
		}
		return line, nil
	case <-ctx.Done():
		fmt.Fprintln(d.out)
		return "", ctx.Err()
	}
}

// stuck is a mail that does not come, with how the entries stand.
func (d *demo) stuck(err error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	entries, _ := d.client.Entries(ctx)
	for _, entry := range entries {
		err = fmt.Errorf("%w\n%s %s is %s: %s", err, entry.Connector, entry.User, entry.State, entry.Message)
	}
	return err
}

func (d *demo) configFile() string { return filepath.Join(d.dir, "config.toml") }

// write replaces the configuration as a good editor does: in one step.
func (d *demo) write(conf string) error {
	fresh := d.configFile() + ".new"
	if err := os.WriteFile(fresh, []byte(conf), 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, d.configFile())
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintln(d.out, printable(fmt.Sprintf(format, args...)))
}

// next begins a step; line tells more of it.
func (d *demo) next(format string, args ...any) {
	d.step++
	d.say("\n%2d. %s", d.step, fmt.Sprintf(format, args...))
}

func (d *demo) line(format string, args ...any) { d.say("    "+format, args...) }

func (d *demo) mail(mail profittest.Message) {
	d.line("  To:      %s", mail.To)
	d.line("  Subject: %s", mail.Subject)
	for line := range strings.Lines(mail.Body) {
		if line = strings.TrimSpace(line); line != "" {
			d.line("  | %s", line)
		}
	}
}

// hints are the lines with which to look around.
func (d *demo) hints(connector, user string) {
	if runtime.GOOS != "windows" {
		d.line("curl --unix-socket %s http://localhost/v1/tokens/%s/%s", d.socket, connector, user)
	}
	d.hint("list")
	d.hint("token %s %s", connector, user)
	d.hint("status")
	d.hint("reset %s %s --dry-run", connector, user)
}

// hint is a command of profitctl, as it can be pasted here.
func (d *demo) hint(format string, args ...any) {
	profitctl := "profitctl"
	if _, err := os.Stat(filepath.Join("cmd", "profitctl")); err == nil {
		profitctl = "go run ./cmd/profitctl"
	}
	d.line("%s --socket %s %s", profitctl, d.socket, fmt.Sprintf(format, args...))
}
