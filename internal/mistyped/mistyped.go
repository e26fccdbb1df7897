// Package mistyped makes commands and flags that do not exist errors, which suggest what was probably meant.
package mistyped

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/edgejwt/caddy-elasticsearch-jwt/internal/setting"
)

// Refuse makes it an error, with a suggestion, if a command or a flag does not exist. Cobra takes a command
// that does not exist below one that does for a success, and prints the help.
func Refuse(cmd *cobra.Command) {
	cmd.DisableFlagParsing = true // it has no flags: what comes in their place is an error of ours
	cmd.SetFlagErrorFunc(Flag)
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0, slices.Contains([]string{"-h", "--help"}, args[0]):
			return cmd.Help()
		case args[0] == "help":
			return helpOf(cmd, args[1:])
		case strings.HasPrefix(args[0], "-"):
			return fmt.Errorf("%s stands before a command: write one of %s first",
				args[0], strings.Join(commandNames(cmd), ", "))
		default:
			return unknownCommand(cmd, args[0])
		}
	}
}

// helpOf prints the help of a command, or of one below it.
func helpOf(cmd *cobra.Command, names []string) error {
	if len(names) == 0 {
		return cmd.Help()
	}
	for _, below := range cmd.Commands() {
		if below.Name() == names[0] {
			return below.Help()
		}
	}
	return unknownCommand(cmd, names[0])
}

func commandNames(cmd *cobra.Command) []string {
	var names []string
	for _, below := range cmd.Commands() {
		names = append(names, below.Name())
	}
	return names
}

func unknownCommand(cmd *cobra.Command, name string) error {
	known := commandNames(cmd)
	if meant := setting.Nearest(name, known); meant != "" {
		return fmt.Errorf("unknown command %q: did you mean %s?", name, meant)
	}
	return fmt.Errorf("unknown command %q: use one of %s", name, strings.Join(known, ", "))
}

// Flag adds to the error of a flag which one was probably meant, or which ones there are.
func Flag(cmd *cobra.Command, err error) error {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return err
	}
	var known []string
	cmd.Flags().VisitAll(func(flag *pflag.Flag) { known = append(known, "--"+flag.Name) })
	if meant := setting.Nearest("--"+unknown.GetSpecifiedName(), known); meant != "" {
		return fmt.Errorf("%w: did you mean %s?", err, meant)
	}
	return fmt.Errorf("%w: use one of %s", err, strings.Join(known, ", "))
}
