package daemon

import (
	"context"
	"fmt"

	"github.com/profitd/profitd/daemon/enrol"
	"github.com/profitd/profitd/ipc"
	"github.com/profitd/profitd/profit"
)

// entryFor finds the entry of a call about it. What a template makes comes into being when its owner calls.
func (d *Daemon) entryFor(ctx context.Context, peer *ipc.Peer, ref ipc.Ref) (*entry, error) {
	f := d.inForce.Load()
	if x := f.find(ref); x != nil {
		return x, nil
	}
	if !f.owns(peer, ref) {
		return nil, noSuchEntry
	}
	done := make(chan made, 1)
	select {
	case d.toMake <- making{ref, done}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case m := <-done:
		if m.err == nil && m.entry == nil {
			m.err = noSuchEntry
		}
		return m.entry, problem(m.err)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// entryNow is the answer of a call about an entry.
func (d *Daemon) entryNow(peer *ipc.Peer, view *enrol.View, err error) (ipc.Entry, error) {
	if err != nil {
		return ipc.Entry{}, problem(err)
	}
	f := d.inForce.Load()
	return f.entry(view, f.helpdesk(peer)), nil
}

// Code asks Profit for a (new) code.
func (d *Daemon) Code(ctx context.Context, peer *ipc.Peer, ref ipc.Ref) (ipc.Entry, error) {
	x, err := d.entryFor(ctx, peer, ref)
	if err != nil {
		return ipc.Entry{}, err
	}
	view, err := d.enrol.Code(ctx, x.key, peer.Account)
	if err == nil {
		d.log.Info("a code was asked for", "connector", ref.Connector, "user", ref.User, "by", peer.Account)
	}
	return d.entryNow(peer, view, err)
}

// Activate trades a code for the token.
func (d *Daemon) Activate(ctx context.Context, peer *ipc.Peer, ref ipc.Ref, code ipc.ActivationCode) (ipc.Entry, error) {
	x, err := d.entryFor(ctx, peer, ref)
	if err != nil {
		return ipc.Entry{}, err
	}
	view, err := d.enrol.Activate(ctx, x.key, profit.NewSecret(code.Reveal()), peer.Account)
	return d.entryNow(peer, view, err)
}

// Reject has the token verified that an application says Profit refuses.
func (d *Daemon) Reject(ctx context.Context, peer *ipc.Peer, ref ipc.Ref) (ipc.Entry, error) {
	x, err := d.entryFor(ctx, peer, ref)
	if err != nil {
		return ipc.Entry{}, err
	}
	view, err := d.enrol.Reject(ctx, x.key, peer.Account)
	return d.entryNow(peer, view, err)
}

// Reset throws the token away and begins anew. An orphan can be reset too: then nothing begins.
func (d *Daemon) Reset(ctx context.Context, peer *ipc.Peer, ref ipc.Ref, request ipc.ResetRequest) (ipc.Receipt, error) {
	key, err := d.toReset(ctx, peer, ref, request.DryRun)
	if err != nil {
		return ipc.Receipt{}, err
	}
	if key == "" {
		before := d.inForce.Load().own(ref)
		return ipc.Receipt{DryRun: true, Before: before, After: foreseen(before, request.Enrol)}, nil
	}
	if !request.DryRun {
		d.log.Info("reset", "connector", ref.Connector, "user", ref.User, "by", peer.Account,
			"revoke", request.Revoke, "enrol", request.Enrol)
	}
	done, err := d.enrol.Reset(ctx, key, request.Revoke, request.Enrol, request.DryRun, peer.Account)
	if err != nil {
		return ipc.Receipt{}, problem(err)
	}
	receipt := ipc.Receipt{
		DryRun: request.DryRun, DeletedHere: done.DeletedHere, DeletedInProfit: done.DeletedInProfit,
		LeftInProfit: leftInProfit(done, request),
	}
	receipt.Before, _ = d.entryNow(peer, done.Before, nil)
	if done.After == nil {
		receipt.DeletedHere = done.HadToken
		receipt.After = foreseen(receipt.Before, request.Enrol)
		return receipt, nil
	}
	receipt.After, _ = d.entryNow(peer, done.After, nil)
	return receipt, nil
}

// toReset finds the identity to reset: that of the entry in force, or of an orphan. A dry run does not let what a
// template would make come into being; then it is empty.
func (d *Daemon) toReset(ctx context.Context, peer *ipc.Peer, ref ipc.Ref, dryRun bool) (string, error) {
	f := d.inForce.Load()
	owns := f.owns(peer, ref)
	switch x := f.find(ref); {
	case x != nil:
		return x.key, nil
	case owns && dryRun:
		return "", nil
	case !owns:
		if key := d.orphan(ref); key != "" {
			return key, nil
		}
	}
	x, err := d.entryFor(ctx, peer, ref)
	if err != nil {
		return "", err
	}
	return x.key, nil
}

// foreseen is the entry as a reset would leave it.
func foreseen(before ipc.Entry, enrols bool) ipc.Entry {
	after := ipc.Entry{
		ID: before.ID, Connector: before.Connector, Description: before.Description, Environment: before.Environment,
		Type: before.Type, User: before.User, Device: before.Device, Accounts: before.Accounts, Groups: before.Groups,
		State: ipc.Idle, Reason: enrol.ReasonReset, Since: before.Since,
	}
	switch {
	case before.State == ipc.Orphaned:
		after.State = ipc.Orphaned
	case enrols:
		after.State, after.Message = ipc.Requesting, "Profit would be asked for a new code."
	}
	return after
}

// orphan finds the identity of an entry that is no longer in the configuration. There may have been several under that
// name, with other keys to Profit: one that has a token comes first, so that a reset repeated reaches them all.
func (d *Daemon) orphan(ref ipc.Ref) (key string) {
	for _, view := range d.enrol.Views() {
		if !view.Orphan || view.About.Connector != ref.Connector || view.About.User != ref.User {
			continue
		}
		if key = view.Key; view.Status.Fingerprint != "" {
			break
		}
	}
	return key
}

// leftInProfit says which token Profit goes on listing, and where to delete it.
func leftInProfit(done enrol.Receipt, request ipc.ResetRequest) string {
	before := done.Before
	if !done.HadToken || done.DeletedInProfit || request.DryRun && request.Revoke {
		return ""
	}
	which := "the token of user " + before.About.User
	if !before.Status.IssuedAt.IsZero() {
		which += ", issued on " + before.Status.IssuedAt.Local().Format("2006-01-02 15:04")
	}
	where := fmt.Sprintf("Profit still lists %s. To delete it: General / Management / App connector / %q / properties / User tokens.",
		which, before.About.Description)
	if done.RevokeErr != nil {
		return "Profit did not delete it: " + done.RevokeErr.Error() + ". " + where
	}
	return where
}
