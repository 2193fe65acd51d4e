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
	"time"

	"github.com/profitd/profitd/daemon/config"
	"github.com/profitd/profitd/daemon/enrol"
	"github.com/profitd/profitd/ipc"
	"github.com/profitd/profitd/profit"
)

// quietBeforeRemoval is how long the files must rest before an entry that is no longer in them is taken away: half a
// file can be in order.
const quietBeforeRemoval = 5 * time.Second

var errRemovalWaits = errors.New("it removes entries: it is taken once the files have rested for 5 seconds")

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
	if err := d.putInForce(ctx, conf); err != nil {
		d.refuse(err)
	} else if first.Err == nil {
		d.keepLastGood(conf)
	}
}

// reloads takes what the watcher reads until ctx ends.
func (d *Daemon) reloads(ctx context.Context) {
	var waiting *config.Config // removes entries
	rested := time.NewTimer(quietBeforeRemoval)
	rested.Stop()
	unwatched := false
	var asked []chan struct{}
	for {
		select {
		case <-ctx.Done():
			return
		case looked := <-d.reloadAsked:
			asked = append(asked, looked)
			d.watcher.Reload()
		case loaded, open := <-d.watcher.C:
			if !open {
				return
			}
			if (loaded.Unwatched != nil) != unwatched {
				unwatched = loaded.Unwatched != nil
				d.log.Warn("the system announces no changes of the configuration: they take up to a minute", "error", loaded.Unwatched)
			}
			rested.Stop()
			waiting = nil
			switch {
			case loaded.Err != nil:
				d.refuse(loaded.Err)
			case d.removes(loaded.Config):
				waiting = loaded.Config
				rested.Reset(quietBeforeRemoval)
				d.refusal.Store(&errRemovalWaits)
			default:
				d.reload(ctx, loaded.Config)
			}
			for _, looked := range asked {
				close(looked)
			}
			asked = nil
			d.tellChanged()
		case <-rested.C:
			d.reload(ctx, waiting)
			waiting = nil
			d.tellChanged()
		}
	}
}

// reload puts a good configuration in force.
func (d *Daemon) reload(ctx context.Context, conf *config.Config) {
	if now := d.inForce.Load().conf; now != nil && now.SHA256 == conf.SHA256 {
		d.refusal.Store(nil)
		d.log.Info("the configuration is unchanged", "sha256", conf.SHA256)
		return
	}
	if err := d.putInForce(ctx, conf); err != nil {
		d.refuse(err)
		return
	}
	d.refusal.Store(nil)
	d.keepLastGood(conf)
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
func (d *Daemon) removes(conf *config.Config) bool {
	there := map[string]bool{}
	var templates []*connector
	for i := range conf.Connectors {
		c := newConnector(&conf.Connectors[i])
		for _, user := range c.Users {
			if !user.Template {
				there[config.Identity(c.Connector, user.ID)] = true
			}
		}
		if len(c.templates) > 0 {
			templates = append(templates, c)
		}
	}
	for _, x := range d.inForce.Load().all() {
		if !there[x.key] && madeBy(templates, x.key, x.ref.User) == nil {
			return true
		}
	}
	return false
}

// madeBy finds the connector of which a template makes the entry with that key.
func madeBy(templates []*connector, key, user string) *connector {
	for _, c := range templates {
		if c.lineFor(user) != nil && config.Identity(c.Connector, user) == key {
			return c
		}
	}
	return nil
}

// putInForce makes the configuration the one that counts. On an error nothing has changed.
func (d *Daemon) putInForce(ctx context.Context, conf *config.Config) error {
	network, networkOptions, err := d.networkOf(conf)
	if err != nil {
		return err
	}
	f := newForce(conf)
	f.soleOwner = d.options.SoleOwner
	var entries []enrol.Entry
	var templates []*connector
	for i := range conf.Connectors {
		c := newConnector(&conf.Connectors[i])
		c.client = network.Client(profit.Options{
			BaseURL: c.BaseURL, SOAPURL: c.SOAPURL, UseSOAP: c.SOAP, APIKey: c.APIKey, EnvironmentKey: c.EnvironmentKey,
			IntegrationID: c.IntegrationID, Device: conf.Device.Description,
		})
		c.revision = revision(conf, c.Connector)
		f.connectors[c.Name] = c
		for j := range c.Users {
			if line := &c.Users[j]; !line.Template {
				entries = append(entries, f.add(newEntry(c, line, line.ID)))
			}
		}
		if len(c.templates) > 0 {
			templates = append(templates, c)
		}
	}
	if len(templates) > 0 { // what they made before, also before a restart
		for _, view := range d.enrol.Views() {
			if c := madeBy(templates, view.Key, view.About.User); c != nil && f.byKey[view.Key] == nil {
				entries = append(entries, f.add(newEntry(c, c.lineFor(view.About.User), view.About.User)))
			}
		}
	}
	policy := enrol.Policy{Spread: conf.OTP.Spread, Retention: conf.OTP.Retention}
	if err := d.enrol.Reconcile(ctx, entries, policy); err != nil {
		return err
	}
	for _, x := range f.entries {
		x.handle = d.enrol.Handle(x.key)
	}
	d.inForce.Store(f)
	if d.network != nil && d.network != network {
		d.network.Close()
	}
	d.network, d.networkOptions = network, networkOptions
	d.hub.notifyAll()
	for _, warning := range conf.Warnings {
		d.log.Warn("configuration", "warning", warning)
	}
	d.log.Info("the configuration is in force", "files", len(conf.Files), "sha256", conf.SHA256,
		"connectors", len(conf.Connectors), "entries", len(entries))
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

// make finds the entry that a template makes of the Profit user, or lets it come into being. The caller has seen to
// it that the account that asks is its owner. It is nil if there is no such template.
func (d *Daemon) make(ctx context.Context, ref ipc.Ref) (*entry, error) {
	for {
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
		x = f.join(x)
		if d.inForce.Load() == f { // else it goes into the one that took its place
			d.hub.notify([]string{x.key})
			return x, nil
		}
	}
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
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(content)
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err != nil {
		return err
	}
	return os.Rename(temporary.Name(), path)
}
