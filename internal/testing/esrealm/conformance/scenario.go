package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Scenario is a sequence of requests whose answers depend on each other.
type Scenario struct {
	Name  string
	Steps []Step
}

// Step changes something and then sends a request.
type Step struct {
	// Keys, if it is set, is the new JWK set of the realm "rotating".
	Keys *Document
	// File, if it is set, is the new content of the realm "file"'s JWK set.
	File *string
	// Secret, if it is set, is the new shared secret of the realm "secret".
	Secret string
	// Sleep is how long to wait before the request.
	Sleep time.Duration
	// Parallel is how many times the request is sent at the same time. Default: 1.
	Parallel int
	// Fetches is how often the realm "rotating" must fetch its JWK set.
	Fetches int
	// Case is the request. There is none if the case has no name.
	Case
}

// World is a node with all that scenarios need.
type World struct {
	Target
	Keys *KeyServer
	// SetSecret changes the shared secret of the realm "secret".
	SetSecret func(realm, secret string) error
	// SetKeySet replaces the file [KeySetFile].
	SetKeySet func(document string) error
}

// StepResult is the result of a step.
type StepResult struct {
	Answers []*Answer
	Fetches int
}

// Run runs the steps. Equal tokens of different steps have the same text.
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

// Check compares the results of a version with the expected ones.
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
