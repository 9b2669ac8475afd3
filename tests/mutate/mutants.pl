#!/usr/bin/perl
# Prints the mutants of one C file, one a line: line number, what was done, the line as it becomes, separated by tabs.
#
#   perl tests/mutate/mutants.pl common/base/slice.c
#
# A mutant changes one line and is a small mistake that people make: a condition the wrong way round, a bound that is off
# by one, a check or a call left out. Comments, literals, preprocessor lines and CHECKs are left alone.
use strict;
use warnings;

# Blanks comments and the contents of literals; lengths and line ends stay.
sub blank {
  my ($text) = @_;
  $text =~ s{(//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')}
            {my $piece = $1; $piece =~ s/[^\n]/ /g unless $piece =~ /^["']/;
             $piece =~ s/(?<=.)[^\n](?=.)/_/gs if $piece =~ /^["']/; $piece}gsex;
  return $text;
}

# The offset behind the parenthesis that closes the one at `$open`; undef where another line closes it.
sub closing {
  my ($code, $open) = @_;
  my $depth = 0;
  for my $at ($open .. length($code) - 1) {
    my $byte = substr($code, $at, 1);
    $depth++ if $byte eq '(';
    $depth-- if $byte eq ')';
    return $at + 1 if $depth == 0;
  }
  return undef;
}

my @found;
my ($number, $line, $code);

# The line with `$size` bytes at `$at` replaced.
sub add {
  my ($what, $at, $size, $new) = @_;
  my $mutant = $line;
  substr($mutant, $at, $size) = $new;
  push @found, "$number\t$what\t$mutant" if $mutant ne $line;
}

my %comparisons = ('<' => '<=', '<=' => '<', '>' => '>=', '>=' => '>', '==' => '!=', '!=' => '==');

sub mutate_conditions {
  while ($code =~ /\bif \(/g) {
    my $open = pos($code) - 1;
    my $end = closing($code, $open) // next;
    my $condition = substr($line, $open, $end - $open);
    # An inverted comparison is the comparison's own mutant.
    add('condition inverted', $open, $end - $open, "(!$condition)")
      unless $condition =~ /^\([^&|()]*(==|!=)[^&|()]*\)$/;
    add('check left out', $open, $end - $open, "(0 && $condition)");
  }
  while ($code =~ /(?<= )(&&|\|\|)(?= |$)/g) {
    add('&& and || swapped', $-[1], 2, $1 eq '&&' ? '||' : '&&');
  }
  while ($code =~ /(?<=[ (])!(?=[a-z(])/g) {
    add('negation left out', $-[0], 1, '');
  }
}

sub mutate_values {
  while ($code =~ /(?<= )(<=|>=|==|!=|<|>)(?= |$)/g) {
    add('comparison moved', $-[1], length($1), $comparisons{$1});
  }
  while ($code =~ /(?<=[\w)\]]) ([+-]) 1\b(?![.\w])/g) {
    add('one left out', $-[0], $+[0] - $-[0], '');
  }
  while ($code =~ /(?<=[\w)\]] )([+-])(?= (?!1\b)[\w(])/g) {
    add('+ and - swapped', $-[1], 1, $1 eq '+' ? '-' : '+');
  }
  while ($code =~ /(?<=[( ,=])(true|false)(?=[;,) ])/g) {
    add('true and false swapped', $-[1], length($1), $1 eq 'true' ? 'false' : 'true');
  }
}

# A whole statement on one line: a call, an assignment, a counter, a jump.
sub mutate_statements {
  return if $code =~ /^\s*(return|else|if|for|while|do|case|default|goto|struct|const|static|CHECK)\b/;
  if ($code =~ /^(\s+)(?:\(void\))?[a-z_][\w.>\[\]-]*\(.*\);\s*$/) {
    add('call left out', length($1), length($code) - length($1), ';');
  } elsif ($code =~ /^(\s+)[*(]?[a-z_][\w.>\[\]()*-]* [-+*|&^]?= .*;\s*$/ || $code =~ /^(\s+)\S+(\+\+|--);\s*$/) {
    add('assignment left out', length($1), length($code) - length($1), ';');
  } elsif ($code =~ /^(\s+)(break|continue);\s*$/) {
    # A switch without its break falls through.
    add("$2 left out", length($1), length($code) - length($1), ';');
  }
}

my $path = shift or die "usage: mutants.pl FILE\n";
open(my $file, '<', $path) or die "$path: $!\n";
my $text = do { local $/; <$file> };
close($file);
my @lines = split /\n/, $text;
my @codes = split /\n/, blank($text);
my $directive = 0;
my $inside = 0;
for my $i (0 .. $#lines) {
  ($number, $line, $code) = ($i + 1, $lines[$i], $codes[$i] // '');
  $inside = 1 if $code =~ /^\{/;
  $inside = 0 if $code =~ /^\}/;
  my $continued = $directive;
  $directive = ($directive || $code =~ /^\s*#/) && $code =~ /\\$/;
  next if $continued || $code =~ /^\s*#/ || $code =~ /\bCHECK\(/ || $code =~ /_Static_assert/;
  # What stands outside functions is declarations and tables.
  next unless $inside;
  mutate_conditions();
  mutate_values();
  mutate_statements();
}
print "$_\n" for @found;
