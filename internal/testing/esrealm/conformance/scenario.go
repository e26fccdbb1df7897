package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Scenario is a sequence of steps, for what depends on what came before.
type Scenario struct {
	Name  string
	Steps []Step
}

// Step changes something and then sends a request.
type Step struct {
	// Keys is what the realm "rotating" fetches from now on.
	Keys *Document
	// File is what the file of the realm "file" holds from now on.
	File *string
	// Secret is the shared secret of the realm "secret" from now on.
	Secret string
	// Sleep waits before the request.
	Sleep time.Duration
	// Parallel is how many times the request is sent at once. Default: 1.
	Parallel int
	// Fetches is how often the JWK set is fetched in this step.
	Fetches int
	// Case is the request; none where it has no name.
	Case
}

// World is a node with what scenarios change around it.
type World struct {
	Target
	Keys *KeyServer
	// SetSecret changes the shared secret of the realm "secret".
	SetSecret func(realm, secret string) error
	// SetKeySet replaces the file [KeySetFile].
	SetKeySet func(document string) error
}

// StepResult is what a step showed.
type StepResult struct {
	Answers []*Answer
	Fetches int
}

// Run goes through the steps. A token that appears twice is the same text both
// times.
func (s *Scenario) Run(ctx context.Context, w World) ([]StepResult, error) {
	now := time.Now()
	results := make([]StepResult, len(s.Steps))
	for i := range s.Steps {
		var err error
		if results[i], err = s.Steps[i].run(ctx, w, now); err != nil {
			return nil, fmt.Errorf("%s, step %d (%s): %w", s.Name, i, s.Steps[i].Name, err)
		}
	}
	return results, nil
}

func (s *Step) run(ctx context.Context, w World, now time.Time) (StepResult, error) {
	if s.Keys != nil {
		w.Keys.set(*s.Keys)
	}
	if s.File != nil {
		if err := w.SetKeySet(*s.File); err != nil {
			return StepResult{}, err
		}
	}
	if s.Secret != "" {
		if err := w.SetSecret(realmSecret, s.Secret); err != nil {
			return StepResult{}, err
		}
	}
	time.Sleep(s.Sleep)
	w.Keys.takeFetches()
	if s.Name == "" {
		return StepResult{}, nil
	}
	answers, err := s.send(ctx, w, now)
	return StepResult{answers, w.Keys.takeFetches()}, err
}

func (s *Step) send(ctx context.Context, w World, now time.Time) ([]*Answer, error) {
	n := max(s.Parallel, 1)
	answers, errs := make([]*Answer, n), make([]error, n)
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() { answers[i], errs[i] = w.Send(ctx, s.Case, now) })
	}
	wait.Wait()
	return answers, errors.Join(errs...)
}

// Check compares results with what the steps want.
func (s *Scenario) Check(version string, results []StepResult) error {
	var wrong []error
	for i := range s.Steps {
		step := &s.Steps[i]
		fail := func(err error) {
			if err != nil {
				wrong = append(wrong, fmt.Errorf("step %d (%s): %w", i, step.Name, err))
			}
		}
		for _, a := range results[i].Answers {
			fail(step.Check(version, a))
		}
		if results[i].Fetches != step.Fetches {
			fail(fmt.Errorf("the JWK set was fetched %d times, not %d", results[i].Fetches, step.Fetches))
		}
	}
	return errors.Join(wrong...)
}
