package setting

import (
	"slices"
	"strings"
)

// Nearest returns the word that a mistyped word was probably meant to be; "" if none is similar. A hyphen counts as
// an underscore, and a capital letter as a small one.
func Nearest(word string, words []string) string { return Within(max(1, len(word)/3), word, words) }

// Within is [Nearest] with at most some changes between the two words.
func Within(changes int, word string, words []string) string {
	word = fold(word)
	best, distance := "", changes+1
	for _, w := range slices.Sorted(slices.Values(words)) {
		if d := editDistance(word, fold(w)); d < distance {
			best, distance = w, d
		}
	}
	return best
}

func fold(word string) string { return strings.ToLower(strings.ReplaceAll(word, "-", "_")) }

// editDistance returns how many changes turn one word into another. To add a letter, to leave one out, to exchange
// one for another, and to swap two neighbours each count as one change (optimal string alignment).
func editDistance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range len(b) + 1 {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
