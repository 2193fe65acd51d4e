package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"time"

	"github.com/profitd/profitd/daemon/config"
	"github.com/profitd/profitd/daemon/enrol"
	"github.com/profitd/profitd/ipc"
	"github.com/profitd/profitd/profit"
)

// How long the reload path waits, unless a test is in a hurry.
const (
	// defaultQuiet is how long the files must rest before an entry that is no longer in them is taken away: half a
	// file can be in order.
	defaultQuiet = 5 * time.Second
	// retryForce is the wait after a good configuration that could not be put in force, such as on a full disk.
	retryForce = 30 * time.Second
)

// start puts the first configuration in force: the one on disk, or the last good one, or none.
func (d *Daemon) start(ctx context.Context, first config.Loaded) {
	conf := first.Config
	if first.Err != nil {
		d.refuse(first.Err)
		if conf = d.lastGood(); conf == nil {
			d.log.Error("there is no earlier configuration to go on with: the service runs and serves nothing")
			return
		}
		d.log.Warn("going on with the last good configuration")
	}
	f := newForce(conf, d.options.SoleOwner)
	f.insteadOf = first.Err
	if !d.reload(ctx, f) {
		d.unsettled = f
	}
}

// reloads is the reload path: until ctx ends it takes what the watcher reads, and makes what templates make. It alone
// changes what is in force.
func (d *Daemon) reloads(ctx context.Context) {
	next := d.unsettled // to be put in force when the timer fires; nil: nothing is
	timer := time.NewTimer(retryForce)
	defer timer.Stop()
	try := func() {
		if d.reload(ctx, next) {
			next = nil
		} else {
			timer.Reset(retryForce)
		}
	}
	unwatched := false
	var asked []chan struct{}
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-d.toMake:
			x, err := d.make(ctx, m.ref)
			m.made <- made{x, err}
			continue
		case looked := <-d.reloadAsked:
			asked = append(asked, looked)
			d.watcher.Reload()
			continue
		case loaded, open := <-d.watcher.C:
			if !open {
				return
			}
			if (loaded.Unwatched != nil) != unwatched {
				unwatched = loaded.Unwatched != nil
				d.log.Warn("the system announces no changes of the configuration: they take up to a minute", "error", loaded.Unwatched)
			}
			if next = nil; loaded.Err != nil {
				d.refuse(loaded.Err)
				break
			}
			next = newForce(loaded.Config, d.options.SoleOwner)
			if d.removes(next) {
				refusal := fmt.Errorf("it removes entries: it is taken once the files have rested for %s", d.options.quiet)
				d.refusal.Store(&refusal)
				timer.Reset(d.options.quiet)
			} else {
				try()
			}
		case <-timer.C:
			if next != nil {
				try()
				d.tellChanged()
			}
			continue
		}
		for _, looked := range asked {
			close(looked)
		}
		asked = nil
		d.tellChanged()
	}
}

// reload puts a good configuration in force. It tells whether that is done with; if not, trying again later may help.
func (d *Daemon) reload(ctx context.Context, f *force) (done bool) {
	if now := d.inForce.Load().conf; now != nil && now.SHA256 == f.conf.SHA256 {
		d.refusal.Store(nil)
		d.log.Info("the configuration is unchanged", "sha256", f.conf.SHA256)
		return true
	}
	if err := d.putInForce(ctx, f); err != nil {
		d.refuse(err)
		var later *notNow
		return !errors.As(err, &later)
	}
	if f.insteadOf != nil {
		d.refusal.Store(&f.insteadOf)
		return true
	}
	d.refusal.Store(nil)
	d.keepLastGood(f.conf)
	return true
}

// notNow is the error of a good configuration that could not be put in force, and may be later.
type notNow struct{ cause error }

func (e *notNow) Error() string {
	return "cannot put the configuration in force now: " + e.cause.Error() + "; it is tried again"
}

// refuse keeps to the configuration in force.
func (d *Daemon) refuse(err error) {
	d.refusal.Store(&err)
	var problems config.Problems
	if !errors.As(err, &problems) {
		d.log.Error("the configuration on disk is not taken", "error", err)
	}
	for _, problem := range problems {
		d.log.Error("the configuration on disk is not taken", "problem", problem.String())
	}
}

// removes tells whether the configuration lacks entries of the one in force.
func (d *Daemon) removes(f *force) bool {
	for _, x := range d.inForce.Load().all() {
		if f.findKey(x.key) == nil && f.made(x.key, x.ref.User) == nil {
			return true
		}
	}
	return false
}

// putInForce makes the configuration the one that counts. On an error nothing has changed.
func (d *Daemon) putInForce(ctx context.Context, f *force) error {
	network, networkOptions, err := d.networkOf(f.conf)
	if err != nil {
		return err
	}
	for _, c := range f.order {
		c.client = network.Client(profit.Options{
			BaseURL: c.BaseURL, SOAPURL: c.SOAPURL, UseSOAP: c.SOAP, APIKey: c.APIKey, EnvironmentKey: c.EnvironmentKey,
			IntegrationID: c.IntegrationID, Device: f.conf.Device.Description,
		})
		c.revision = revision(f.conf, c.Connector)
	}
	if len(f.templated) > 0 { // what they made before, also before a restart
		for _, view := range d.enrol.Views() {
			if f.findKey(view.Key) != nil {
				continue
			}
			if x := f.made(view.Key, view.About.User); x != nil {
				f.add(x)
			}
		}
	}
	all := f.all()
	entries := make([]enrol.Entry, len(all))
	for i, x := range all {
		entries[i] = x.enrolment()
	}
	policy := enrol.Policy{Spread: f.conf.OTP.Spread, Retention: f.conf.OTP.Retention}
	if err := d.enrol.Reconcile(ctx, entries, policy); err != nil {
		if network != d.network {
			network.Close()
		}
		return &notNow{err}
	}
	for _, x := range all {
		x.handle = d.enrol.Handle(x.key)
	}
	f.loadedAt = time.Now()
	d.inForce.Store(f)
	if d.network != nil && d.network != network {
		d.network.Close()
	}
	d.network, d.networkOptions = network, networkOptions
	d.hub.notifyAll()
	for _, warning := range f.conf.Warnings {
		d.log.Warn("configuration", "warning", warning)
	}
	d.log.Info("the configuration is in force", "files", len(f.conf.Files), "sha256", f.conf.SHA256,
		"connectors", len(f.order), "entries", len(all))
	go debug.FreeOSMemory() // a start and a reload need twice what stays
	return nil
}

// networkOf returns the network of the configuration: the one in use, with its limits and connections, unless a
// setting has changed.
func (d *Daemon) networkOf(conf *config.Config) (*profit.Network, profit.NetworkOptions, error) {
	options := profit.NetworkOptions{
		Proxy: conf.Network.Proxy, NoProxy: conf.Network.NoProxy, RootCAs: conf.Network.CA,
		Language: conf.Network.Language, Timeout: conf.Network.Timeout, Transport: d.options.Transport,
	}
	if d.network != nil && reflect.DeepEqual(options, d.networkOptions) {
		return d.network, options, nil
	}
	network, err := profit.NewNetwork(options)
	return network, options, err
}

// revision changes when a setting does that may turn Profit's refusal into consent. It is too short to give the
// environment key away.
func revision(conf *config.Config, c *config.Connector) string {
	hash := sha256.New()
	for _, part := range []any{
		c.EnvironmentKey.Reveal(), c.SOAP, c.SOAPURL, c.IntegrationID, conf.Device.Description,
		conf.Network.Proxy, conf.Network.NoProxy, string(conf.Network.CA),
	} {
		fmt.Fprintf(hash, "%q\n", fmt.Sprint(part))
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

// making is what an account asks for first of what a template makes of it.
type making struct {
	ref  ipc.Ref
	made chan<- made
}

type made struct {
	entry *entry
	err   error
}

// make finds the entry that a template makes of the Profit user, or lets it come into being. Whoever asks for it has
// seen to it that it is the account's. It is nil if there is no such template any more.
func (d *Daemon) make(ctx context.Context, ref ipc.Ref) (*entry, error) {
	f := d.inForce.Load()
	if x := f.find(ref); x != nil {
		return x, nil
	}
	c := f.connectors[ref.Connector]
	if c == nil || c.lineFor(ref.User) == nil {
		return nil, nil
	}
	x := newEntry(c, c.lineFor(ref.User), ref.User)
	if err := d.enrol.Add(ctx, x.enrolment()); err != nil {
		return nil, err
	}
	x.handle = d.enrol.Handle(x.key)
	f.add(x)
	d.hub.notify([]string{x.key})
	return x, nil
}

// lastGoodName is what the last good configuration is sealed as, and its file in the state directory.
const lastGoodName = "config.sealed"

// keepLastGood seals the configuration for a start at which the files are not in order.
func (d *Daemon) keepLastGood(conf *config.Config) {
	sealed, err := d.keystore.Sealer().Seal(lastGoodName, conf.Snapshot())
	if err == nil {
		err = replaceFile(filepath.Join(d.options.StateDir, lastGoodName), sealed)
	}
	if err != nil {
		d.log.Warn("cannot keep this configuration for the next start", "error", err)
	}
}

func (d *Daemon) lastGood() *config.Config {
	sealed, err := os.ReadFile(filepath.Join(d.options.StateDir, lastGoodName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var snapshot []byte
	if err == nil {
		snapshot, err = d.keystore.Sealer().Open(lastGoodName, sealed)
	}
	var conf *config.Config
	if err == nil {
		conf, err = config.Restore(snapshot)
	}
	if err != nil {
		d.log.Error("cannot read the last good configuration", "error", err)
		return nil
	}
	return conf
}

// replaceFile writes a file of the service's own so that a crash leaves the old or the new one.
func replaceFile(path string, content []byte) error {
	fresh := path + ".new"
	file, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(fresh, path)
}
