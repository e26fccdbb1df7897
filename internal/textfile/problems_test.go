package textfile_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/textfile"
)

func TestProblems(t *testing.T) {
	var none textfile.Problems
	require.NoError(t, none.Err())

	errOdd := errors.New("it is odd")
	var problems textfile.Problems
	problems.Add(3, errOdd)
	require.EqualError(t, problems.Err(), "line 3: it is odd")
	problems.Add(7, errors.New("it is long"))
	require.EqualError(t, problems.Err(), "line 3: it is odd\nline 7: it is long")
	require.ErrorIs(t, problems.Err(), errOdd)
}

func TestProblemsAfterTheTenthAreCounted(t *testing.T) {
	var problems textfile.Problems
	for line := range 10 {
		problems.Add(line+1, errors.New("it is odd"))
	}
	require.Len(t, strings.Split(problems.Err().Error(), "\n"), 10)
	problems.Add(11, errors.New("it is odd"))
	require.True(t, strings.HasSuffix(problems.Err().Error(), "\nline 10: it is odd\nand 1 more"))
	problems.Add(12, errors.New("it is odd"))
	require.True(t, strings.HasSuffix(problems.Err().Error(), "\nand 2 more"))
}
