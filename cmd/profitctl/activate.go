package main

import (
	"errors"
	"slices"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/profitd/profitd/ipc"
)

func (a *app) activateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "activate [CONNECTOR [USER]]",
		Short: "Enter the activation code that Profit mailed",
		Long: `Enter the activation code that Profit mailed. Without CONNECTOR and USER it is for the
one that waits for a code.

The code comes from the terminal or from standard input, never from an argument: those
are for every account of this device to see, and stay in the shell's history. It is shown
as it is typed, so that it can be compared with the mail; it works once, and only here.
Spaces and hyphens in it do not matter.`,
		Example: `  profitctl activate
  profitctl activate payroll 12345.jan
  profitctl activate < code.txt`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 2 {
				return codeAsArgument()
			}
			return nil
		},
		ValidArgsFunction: a.completeEntries(ipc.AwaitingCode),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.activate(args)
		},
	}
}

func codeAsArgument() error {
	return usage("That is no connector or user. A code is not taken as an argument, where every account of this device can see it.",
		"Run profitctl activate and enter the code when it asks, or give it on standard input.")
}

// looksLikeCode says whether a name may have been meant as a code: AFAS's have eight digits.
func looksLikeCode(text string) bool {
	digits := 0
	for _, r := range text {
		if unicode.IsDigit(r) {
			digits++
		} else if r != ' ' && r != '-' {
			return false
		}
	}
	return digits >= 4
}

func (a *app) activate(args []string) error {
	service := a.service()
	entry, err := findWaiting(service, args)
	if err != nil {
		return err
	}
	if entry.State != ipc.AwaitingCode { // active: nothing to do
		return a.result(entry)
	}
	code, err := a.askCode(entry)
	if err != nil {
		return err
	}
	ctx, cancel := within(slow)
	defer cancel()
	activated, err := service.Activate(ctx, refOf(entry), code)
	if err != nil {
		return refused(err, entry)
	}
	return a.result(activated)
}

// findWaiting returns the entry that a code is for, or one that needs none because it is active.
func findWaiting(service *ipc.Client, args []string) (ipc.Entry, error) {
	ctx, cancel := within(quick)
	defer cancel()
	entries, err := matching(ctx, service, args)
	if err != nil {
		return ipc.Entry{}, err
	}
	waiting := slices.DeleteFunc(slices.Clone(entries), func(e ipc.Entry) bool { return e.State != ipc.AwaitingCode })
	switch {
	case len(waiting) == 1:
		return waiting[0], nil
	case len(waiting) > 1:
		return ipc.Entry{}, whichOne("activate", waiting)
	case len(entries) == 1 && len(args) > 0:
		return notWaiting(entries[0])
	case len(entries) > 0 || len(args) == 0:
		return ipc.Entry{}, &failure{exitPending, "Nothing waits for a code.",
			[]string{"profitctl list shows where each stands, profitctl code CONNECTOR USER asks for a code."}}
	case slices.ContainsFunc(args, looksLikeCode):
		return ipc.Entry{}, codeAsArgument()
	}
	return ipc.Entry{}, nothingThere(args)
}

// notWaiting says why an entry needs no code; when it is active that is no error.
func notWaiting(entry ipc.Entry) (ipc.Entry, error) {
	if entry.State == ipc.Active {
		return entry, nil
	}
	return entry, &failure{exitPending, refOf(entry).String() + " waits for no code: it is " + string(entry.State) + ".",
		[]string{note(entry), "A new code: " + commandFor("code", entry)}}
}

// askCode asks for the code, by which connector and user it is for.
func (a *app) askCode(entry ipc.Entry) (ipc.ActivationCode, error) {
	mailed := "Profit has mailed a code to "
	if entry.Mail == "perhaps" {
		mailed = "Profit has perhaps mailed a code (no answer came) to "
	}
	if entry.RequestedAt != nil {
		mailed = when(*entry.RequestedAt) + ": " + mailed
	}
	if a.asks {
		a.warnf("%s%s, for %s.\n", mailed, entry.User, entry.Description)
	}
	text := a.ask("Activation code:")
	if text == "" {
		next := append(noMail(entry), "Enter it with: "+commandFor("activate", entry))
		return ipc.ActivationCode{}, &failure{exitActivation, "No code was entered.", next}
	}
	code, err := ipc.ParseActivationCode(text)
	return code, refused(err, entry)
}

// refused adds what to check to an error that says that a code was not accepted.
func refused(err error, entry ipc.Entry) error {
	var problem *ipc.Error
	if !errors.As(err, &problem) || problem.Code != ipc.InvalidCode {
		return err
	}
	what := *describe(err)
	what.next = append(what.next, "Try again: "+commandFor("activate", entry))
	what.next = append(what.next, noMail(entry)...)
	return errors.Join(&what, problem) // for people, and for programs
}
