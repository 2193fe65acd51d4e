package enrol

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leanovate/gopter"
	"github.com/leanovate/gopter/gen"
	"github.com/leanovate/gopter/prop"

	"github.com/profitd/profitd/profit"
	"github.com/profitd/profitd/profit/profittest"
)

var (
	seed  = flag.Int64("seed", 0, "repeat the sequences of this seed")
	tries = flag.Int("tries", 300, "how many random sequences of events")
)

// Whatever happens to four entries of one environment, in whatever order, the properties of check_test.go hold after
// each event and at each call of Profit and the keystore; and in the end everybody gets a token.
func TestWhateverHappens(t *testing.T) {
	n := *tries
	if testing.Short() {
		n /= 10
	}
	parameters := gopter.DefaultTestParametersWithSeed(time.Now().UnixNano())
	if *seed != 0 {
		parameters = gopter.DefaultTestParametersWithSeed(*seed)
	}
	parameters.MinSuccessfulTests, parameters.MaxSize, parameters.MaxShrinkCount = n, 60, 300
	t.Logf("repeat with -args -seed=%d", parameters.Seed())
	properties := gopter.NewProperties(parameters)
	properties.Property("whatever happens", prop.ForAll(
		func(events []uint32) (string, error) {
			if broken := live(t, events); len(broken) > 0 {
				return "", errors.New(strings.Join(broken, "\n"))
			}
			return "", nil
		},
		gen.SliceOf(gen.UInt32()),
	))
	properties.TestingRun(t)
}

// live has the events happen one by one to a device, and tells what did not hold.
func live(t *testing.T, events []uint32) (broken []string) {
	synctest.Test(t, func(t *testing.T) {
		d := newDevice(t)
		defer d.close()
		d.policy.Retention = 90 * time.Minute
		d.add("payroll", "jan")
		d.add("leave", "jan").onRequest = true
		d.add("payroll", "piet")
		d.add("travel", "piet")
		d.start()
		people := &people{d: d}
		for _, event := range events {
			people.happens(event)
			if len(d.broken) > 0 {
				broken = append(d.broken, d.trace...)
				return
			}
		}
		people.endWell()
		if len(d.broken) > 0 {
			broken = append(d.broken, d.trace...)
		}
	})
	return broken
}

// people are all who make things happen: owners, helpdesk, administrators, the mains.
type people struct {
	d *device
}

func (p *people) note(format string, args ...any) {
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	p.d.trace = append(p.d.trace, time.Now().Format("02 15:04:05 ")+fmt.Sprintf(format, args...))
}

// happens turns a number into an event, and has it happen.
func (p *people) happens(number uint32) {
	d := p.d
	pick := func(n int) int {
		chosen := int(number % uint32(n))
		number /= uint32(n)
		return chosen
	}
	kind := pick(24)
	line := &d.lines[pick(len(d.lines))]
	switch kind {
	case 0, 1, 2, 3:
		times := []time.Duration{time.Second, 6 * time.Second, 11 * time.Second, 31 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 25 * time.Hour}
		t := times[pick(len(times))]
		p.note("%v pass", t)
		d.pass(t)
	case 4:
		line.absent = !line.absent
		p.note("%s absent: %v", line.key, line.absent)
		d.reconcile()
	case 5:
		line.revision += "+"
		p.note("%s has other keys", line.key)
		d.reconcile()
	case 6, 7:
		p.asks(line.key)
	case 8, 9:
		p.call("code of "+line.key, func(ctx context.Context, e *Enroller) error {
			_, err := e.Code(ctx, line.key, "jan")
			return err
		})
	case 10, 11, 12:
		p.enters(line.key, d.code(line.key))
	case 13:
		p.enters(line.key, "11111111")
	case 14:
		p.call("reject of "+line.key, func(ctx context.Context, e *Enroller) error {
			_, err := e.Reject(ctx, line.key, "jan")
			return err
		})
	case 15, 16:
		p.resets(line.key, pick(2) == 1, pick(4) > 0, pick(5) == 4)
	case 17, 18:
		p.profitFails(pick)
	case 19:
		m := mood(pick(int(moods)))
		p.note("keystore in mood %d", m)
		d.safe.set(m)
	case 20:
		damage := pick(2) == 1
		p.note("the keystore loses %s (damage %v)", line.key, damage)
		d.lose(line.key, damage)
	case 21:
		p.takesOrRefuses(line, pick(3))
	case 22:
		p.note("restart")
		d.restart()
	case 23:
		moments := pick(12)
		p.note("power failure after %d moments", moments)
		if moments == 0 {
			d.powerFails()
		} else {
			d.powerFailsAfter(moments)
		}
	}
	synctest.Wait()
	d.mu.Lock()
	over := d.life.over
	d.mu.Unlock()
	if over {
		d.powerFails()
	}
	d.check()
}

// call has somebody call the service, who hangs up after a while. The service does not mind.
func (p *people) call(what string, call func(context.Context, *Enroller) error) {
	l := p.d.life
	l.ran.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
		defer cancel()
		err := call(ctx, l.enrol)
		p.note("%s: %v", what, err)
	})
}

func (p *people) asks(key string) {
	e := p.d.life.enrol
	before := p.d.life.rec(key)
	_, err := e.Ask(key, "jan")
	after := p.d.life.rec(key)
	p.note("%s is asked for: %v", key, err)
	if before.State == Requesting && !before.Spreading && !after.NextAttemptAt.Equal(before.NextAttemptAt) {
		p.d.breaks(askingIsNoRetry, "%s: from %v to %v", key, before.NextAttemptAt, after.NextAttemptAt)
	}
}

func (p *people) enters(key, code string) {
	p.call("code "+code+" for "+key, func(ctx context.Context, e *Enroller) error {
		_, err := e.Activate(ctx, key, profit.NewSecret(code), "jan")
		return err
	})
}

func (p *people) resets(key string, revoke, enrol, dryRun bool) {
	d, l := p.d, p.d.life
	what := fmt.Sprintf("reset of %s (revoke %v, enrol %v, dry run %v)", key, revoke, enrol, dryRun)
	p.call(what, func(ctx context.Context, e *Enroller) error {
		receipt, err := e.Reset(ctx, key, revoke, enrol, dryRun, "ria")
		r := l.rec(key)
		d.mu.Lock()
		defer d.mu.Unlock()
		if err == nil && !dryRun && !l.over && r.User != "" {
			d.memory.floor[key] = r.Floor
			if receipt.HadToken && receipt.Before.Status.State != Idle && r.Floor == 0 {
				d.breaksLocked(resetIsFinal, "a reset of %s raised no floor", key)
			}
		}
		return err
	})
}

// profitFails has some calls of Profit go wrong.
func (p *people) profitFails(pick func(int) int) {
	calls := []string{"OtpRequest", "OtpValidation", "ProfitVersion", ""}
	faults := []profittest.Fault{
		{Cut: profittest.CutBefore}, {Cut: profittest.CutAfter}, {Cut: profittest.CutBody},
		{Answer: profittest.Empty(401)}, {Answer: profittest.Empty(403)}, {Answer: profittest.Empty(404)},
		{Answer: profittest.Empty(500)}, {Answer: profittest.Refusal("no")}, {Answer: profittest.HTML(502)},
		{Answer: profittest.HTML(200), Worked: true}, {Answer: profittest.Garbage(), Worked: true},
		{Answer: profittest.Maintenance(2 * time.Hour)}, {Answer: profittest.Maintenance(100 * time.Hour)},
		{Answer: profittest.Redirect("https://elsewhere.example")},
		{Delay: 2 * time.Second}, {Delay: 3 * time.Minute}, {Delay: 3 * time.Minute, Cut: profittest.CutBefore},
	}
	kind := pick(len(faults) + 2)
	switch {
	case kind == len(faults):
		p.note("Profit is not reachable")
		p.d.profit.SetUnreachable(true)
	case kind > len(faults):
		p.note("Profit is well")
		p.d.profit.SetUnreachable(false)
		p.d.profit.ClearFaults()
	default:
		fault := faults[kind]
		fault.Call, fault.Times = calls[pick(len(calls))], 1+pick(3)
		p.note("Profit fails: %+v %+v", fault, fault.Answer)
		p.d.profit.Fault(fault)
	}
}

// takesOrRefuses is an administrator of Profit who deletes tokens, or blocks the app connector, or unblocks it.
func (p *people) takesOrRefuses(line *line, what int) {
	if what == 0 {
		p.note("the tokens of %s are deleted in Profit", line.key)
		for _, token := range p.d.profit.Tokens() {
			if token.Connector == line.connector.APIKey && token.User == line.user {
				p.d.profit.DeleteToken(token.XML)
			}
		}
		return
	}
	p.note("connector %s blocked: %v", line.connector.Description, what == 1)
	p.d.profit.UpdateConnector(line.connector.APIKey, func(c *profittest.Connector) { c.Blocked = what == 1 })
}

// endWell mends everything and has every owner do what is asked of him.
func (p *people) endWell() {
	d := p.d
	p.note("everything is well again")
	d.profit.SetUnreachable(false)
	d.profit.ClearFaults()
	d.safe.set(well)
	for i := range d.lines {
		d.lines[i].absent = false
		d.profit.UpdateConnector(d.lines[i].connector.APIKey, func(c *profittest.Connector) { c.Blocked = false })
	}
	d.mu.Lock()
	d.life.fuse = 0
	d.mu.Unlock()
	d.reconcile()
	d.pass(26 * time.Hour)
	d.check()
	for range 6 {
		for _, line := range d.lines {
			switch view := d.view(line.key); view.State() {
			case Idle:
				p.asks(line.key)
			case Blocked:
				_, err := d.life.enrol.Code(context.Background(), line.key, "jan")
				p.note("code of %s: %v", line.key, err)
			case AwaitingCode:
				if _, err := d.activate(line.key); err != nil {
					p.note("activation of %s: %v", line.key, err)
					d.pass(11 * time.Second)
					_, err = d.life.enrol.Code(context.Background(), line.key, "jan")
					p.note("code of %s: %v", line.key, err)
				}
			}
			d.pass(2 * time.Minute)
		}
		d.pass(2 * time.Hour)
		d.check()
	}
	for _, line := range d.lines {
		if view := d.view(line.key); view.State() != Active || view.Token.IsZero() {
			d.breaks(endsWell, "%s is %s: %+v", line.key, view.State(), d.life.rec(line.key))
		}
	}
}
