package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// report prints the median of the ratios, with a 95% confidence interval from a bootstrap.
func report(what string, ratios []float64) {
	const resamples = 10_000
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same interval for the same data
	medians := make([]float64, resamples)
	sample := make([]float64, len(ratios))
	for i := range medians {
		for j := range sample {
			sample[j] = ratios[random.IntN(len(ratios))]
		}
		medians[i] = median(sample)
	}
	slices.Sort(medians)
	fmt.Printf("%s: %.3f (95%% confidence %.3f to %.3f, %d pairs)\n", what,
		median(ratios), medians[resamples/40], medians[resamples-resamples/40-1], len(ratios))
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
