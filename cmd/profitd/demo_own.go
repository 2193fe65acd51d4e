package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/profitd/profitd/daemon/config"
	"github.com/profitd/profitd/ipc"
	"github.com/profitd/profitd/profit/profittest"
)

// serveOwn serves the connectors of an application's maker, each with a simulated Profit behind it, and follows the
// file as it changes.
func (d *demo) serveOwn(ctx context.Context) error {
	watcher := config.Watch(ctx, d.config, config.Options{SkipRights: true})
	loaded := <-watcher.C
	if loaded.Err != nil {
		return fmt.Errorf("the configuration is not in order:\n%w", loaded.Err)
	}
	if len(loaded.Config.Connectors) == 0 {
		return fmt.Errorf("there is no connector in %s: config.example.toml shows how one is written", d.config)
	}
	if err := d.take(loaded.Config); err != nil {
		return err
	}
	own, err := ownAccount()
	if err != nil {
		return err
	}
	if err := d.start(ctx, own); err != nil {
		return err
	}
	d.say("profitd demo serves the connectors of %s with a simulated Profit.", d.config)
	d.say("Every token belongs to this account (%s), whatever the file says. Point your application at", own)
	d.line("PROFITD_SOCKET=%s", d.socket)
	d.say("and, for the calls of Profit, let it trust the simulated Profit's certificates:")
	d.line("%s", d.rootCAFile())
	first := loaded.Config.Connectors[0]
	if len(first.Users) > 0 {
		d.say("Look around, in another terminal:")
		d.hints(first.Name, first.Users[0].ID)
	}
	if d.once {
		return nil
	}
	d.say("Ctrl-C ends this and leaves nothing behind.")
	return d.followOwn(ctx, watcher, loaded.Config)
}

// followOwn shows each mail, has its code entered, and takes each change of the file.
func (d *demo) followOwn(ctx context.Context, watcher *config.Watcher, conf *config.Config) error {
	mails := make(chan profittest.Message)
	followed := map[*profittest.Server]bool{}
	follow := func() {
		for i := range conf.Connectors {
			server := d.profit.environment(conf.Connectors[i].BaseURL)
			if followed[server] {
				continue
			}
			followed[server] = true
			go func() {
				for mail := range server.Mail(ctx) {
					select {
					case mails <- mail:
					case <-ctx.Done():
					}
				}
			}()
		}
	}
	follow()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-d.ended:
			return nil
		case mail := <-mails:
			if err := d.deliver(ctx, conf, mail); err != nil {
				return err
			}
		case loaded := <-watcher.C:
			if loaded.Err != nil {
				d.say("\nThe file is not in order; the service keeps to what it has:\n%s", loaded.Err)
				continue
			}
			conf = loaded.Config
			if err := d.take(conf); err != nil {
				return err
			}
			follow()
			d.say("\nThe file has changed; the service takes it.")
		}
	}
}

// take writes the translated configuration for the service.
func (d *demo) take(conf *config.Config) error {
	text, leftOut := d.profit.translate(conf)
	if leftOut > 0 {
		d.say("Left out: %s; write users out to test with them.", count(leftOut, "template"))
	}
	if err := os.WriteFile(d.rootCAFile(), d.profit.rootCAs(), 0o644); err != nil {
		return err
	}
	return d.write(text)
}

func (d *demo) rootCAFile() string { return filepath.Join(d.dir, "profit-root.pem") }

// deliver shows a mail and has its code entered, here or elsewhere.
func (d *demo) deliver(ctx context.Context, conf *config.Config, mail profittest.Message) error {
	d.say("\n%s A mail arrives:", mail.At.Local().Format(time.TimeOnly))
	d.mail(mail)
	var ref ipc.Ref
	for i := range conf.Connectors {
		if conf.Connectors[i].APIKey.Reveal() == mail.Connector {
			ref = ipc.Ref{Connector: conf.Connectors[i].Name, User: mail.User}
		}
	}
	if !d.yes {
		d.line("Enter it in your application, or with:")
		d.hint("activate %s %s", ref.Connector, ref.User)
		return nil
	}
	entry, err := d.activate(ctx, ref, mail.Code)
	var problem *ipc.Error
	switch {
	case errors.As(err, &problem):
		d.line("%s", problem.Detail)
	case err != nil:
		return err
	default:
		d.line("%s %s is %s.", entry.Connector, entry.User, entry.State)
	}
	return nil
}
