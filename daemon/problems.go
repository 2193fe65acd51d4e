package daemon

import (
	"errors"

	"github.com/profitd/profitd/daemon/enrol"
	"github.com/profitd/profitd/ipc"
)

// What the API says when something cannot be done. None of it quotes the configuration.

// noSuchEntry is told to those who have a right: an owner whose entry has just gone, or the helpdesk.
var noSuchEntry = ipc.NewError(ipc.Denied, "This account has no right to this, or it does not exist.",
	"profitctl list shows what there is for this account.")

const mailHint = "Enter the code with profitctl activate. No mail? In Profit the user needs a valid e-mail address and " +
	"must be in the app connector's user group, and the app connector must not be blocked; look in the spam folder " +
	"too. Then ask for a new code with profitctl code."

// noToken says why there is no token now.
func noToken(view *enrol.View) *ipc.Error {
	var problem *ipc.Error
	switch state := view.State(); {
	case state == enrol.Orphaned:
		return noSuchEntry // a reload is taking it away
	case view.Unread:
		problem = ipc.NewError(ipc.KeystoreUnavailable, "The keystore has not yet said whether it holds this token.",
			"The service goes on trying; profitctl status shows how the keystore is.")
	case state == enrol.AwaitingCode:
		problem = ipc.NewError(ipc.ActivationRequired, message(view), mailHint)
	case state == enrol.Blocked:
		problem = ipc.NewError(ipc.BlockedByProfit, view.Status.Message, "When that is mended, ask with profitctl code; the service itself tries once a day.")
	case state == enrol.Idle:
		problem = ipc.NewError(ipc.Pending, message(view), "Ask for a code with profitctl code.")
	case state == enrol.Validating:
		problem = ipc.NewError(ipc.Pending, "A code is being tried.", "Ask again in a moment, or wait: profitctl token --wait 60s, in a request wait=60s.")
	default:
		detail := view.Status.Message
		if detail == "" {
			detail = "Profit is being asked for an activation code."
		}
		problem = ipc.NewError(ipc.Pending, detail, "Ask again later, or wait: profitctl token --wait 60s, in a request wait=60s. profitctl list shows how it stands.")
	}
	return about(problem, view)
}

// about adds how the entry stands.
func about(problem *ipc.Error, view *enrol.View) *ipc.Error {
	if view != nil {
		problem.State, problem.Reason = ipc.State(view.State()), view.Status.Reason
	}
	return problem
}

// problem is what the API says of a call that the enroller could not carry out.
func problem(err error) error {
	var failure *enrol.Error
	if !errors.As(err, &failure) {
		return err
	}
	var said *ipc.Error
	switch failure.Kind {
	case enrol.Unknown:
		return noSuchEntry
	case enrol.TooMany:
		said = ipc.NewError(ipc.TooManyRequests, failure.Message, "Wait before asking again: Retry-After says how long.")
	case enrol.NotAwaiting:
		if failure.View != nil && failure.View.State() == enrol.Blocked {
			return noToken(failure.View)
		}
		hint := "Ask for a new code with profitctl code, and enter that one."
		if failure.View != nil && failure.View.State() == enrol.Validating {
			hint = "Try again in a moment; profitctl list shows how it stands."
		}
		said = ipc.NewError(ipc.Pending, failure.Message, hint)
	case enrol.WrongCode:
		said = ipc.NewError(ipc.InvalidCode, failure.Message,
			"Take the code from the newest mail; an older one no longer works. Or ask for a new one with profitctl code.")
	case enrol.ProfitUnavailable:
		said = ipc.NewError(ipc.ProfitUnavailable, failure.Message, "Try again later. The entry shows how it stands: profitctl list.")
	case enrol.KeystoreUnavailable:
		said = ipc.NewError(ipc.KeystoreUnavailable, failure.Message, "Nothing is lost; the service goes on trying. profitctl status shows how the keystore is.")
	case enrol.RecordUnavailable:
		said = ipc.NewError(ipc.KeystoreUnavailable, failure.Message, "Is the disk of the state directory full, or read-only?")
	default:
		return err
	}
	said.RetryAfter = failure.RetryAfter
	return about(said, failure.View)
}
