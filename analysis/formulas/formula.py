"""Model formulas in the grammar of lme4, read by the parser of `formulae`.

`formulae` turns the text into a syntax tree; what the tree means is decided here, as R does: an arithmetic
left side, ``||``, nested groups, the order of terms and the names of variables follow Wilkinson and Rogers
(1973), Chambers and Hastie (1992, chapter 2) and Bates et al. (2015, section 2). Nothing is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from formulae import expr as syntax
from formulae.parser import ParseError, Parser
from formulae.scanner import ScanError, Scanner
from formulae.token import Token

from nwbswitch.analysis.formulas.expressions import FUNCTIONS, MAX_CHARACTERS, shortened
from nwbswitch.schemas.errors import FormulaError
from nwbswitch.schemas.issues import nearest

Term = tuple[str, ...]
"""Names of the variables whose product a term is; the intercept is the empty tuple."""

INTERCEPT: Final[Term] = ()
MAX_TERMS: Final = 1000
_EXAMPLE: Final = "Expected e.g. 'rate ~ drug * epoch + (1 + epoch | animal) + (1 | session)'."
_FACTOR: Final = ("factor", "C")


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a model: ``name`` as R writes it, ``code`` for `expressions.evaluate`."""

    name: str
    code: str
    as_factor: bool = False


@dataclass(frozen=True, slots=True)
class RandomTerm:
    """One bar: ``terms`` whose coefficients vary together between the levels of ``group``."""

    terms: tuple[Term, ...]
    group: Term
    group_name: str


@dataclass(frozen=True, slots=True)
class Formula:
    """A model formula: response, fixed terms and random terms, each in R's order.

    ``failures`` is the second part of a left side ``cbind(yes, no)``, whose first part is ``response``.
    """

    text: str
    response: Variable
    fixed: tuple[Term, ...]
    random: tuple[RandomTerm, ...]
    variables: Mapping[str, Variable]
    failures: Variable | None = None


def term_name(term: Term) -> str:
    """Return the name of a term as R prints it."""
    return ":".join(term) if term else "(Intercept)"


def read_formula(text: str, *, bars: bool = True, cbind: bool = False) -> Formula:
    """Return the formula that ``text`` states.

    Parameters
    ----------
    text
        ``response ~ fixed terms + (random terms | group)``.
    bars
        Whether random terms may and must be there.
    cbind
        Whether the left side may be ``cbind(yes, no)``, counts of both outcomes.

    Raises
    ------
    FormulaError
        If the text cannot be read or says something that lme4's grammar does not have.
    TypeError
        If it is no text.
    """
    if not isinstance(text, str):
        raise TypeError(f"formula must be text such as 'y ~ x + (1 | group)', not {type(text).__name__}.")
    tree = _tree(text)
    if not isinstance(tree, syntax.Binary) or tree.operator.kind != "TILDE":
        raise FormulaError(
            f"The formula {shortened(text)!r} has no '~' between response and terms. {_EXAMPLE}"
        )
    reader = _Reader(text)
    response, failures = reader.response(tree.left, cbind=cbind)
    fixed_parts, bar_parts = [], []
    for sign, part in _sum_of(tree.right):
        bar = _bar(part)
        if bar is None:
            fixed_parts.append((sign, part))
        elif sign == "-":
            raise FormulaError(
                f"The formula {shortened(text)!r} subtracts a random term; leave it out instead."
            )
        else:
            bar_parts.append(bar)
    fixed = reader.ordered(reader.terms(fixed_parts))
    random = tuple(term for bar in bar_parts for term in reader.random_terms(bar))
    if bars and not random:
        raise FormulaError(
            f"The formula {shortened(text)!r} has no random term such as (1 | animal). {_EXAMPLE}"
        )
    if random and not bars:
        raise FormulaError(
            f"The formula {shortened(text)!r} has a random term, which this model cannot hold."
        )
    return Formula(text, response, fixed, random, reader.variables, failures)


def _tree(text: str) -> Any:
    if len(text) > MAX_CHARACTERS:
        raise FormulaError(f"The formula has {len(text)} characters; at most {MAX_CHARACTERS} are read.")
    if text.count("`") % 2:
        raise FormulaError(f"The formula {shortened(text)!r} has a backtick that is not closed.")
    if not text.strip():
        raise FormulaError(f"The formula is empty. {_EXAMPLE}")
    plain = re.sub(r"`[^`]*`|\^", lambda found: "**" if found[0] == "^" else found[0], text)
    try:
        tokens = _with_double_bars(Scanner(plain).scan(add_intercept=False))
        parser = Parser(tokens)
        tree = parser.parse()
    except (ScanError, ParseError, IndexError) as error:
        raise FormulaError(f"The formula {shortened(text)!r} cannot be read: {error}. {_EXAMPLE}") from None
    except RecursionError:
        raise FormulaError(f"The formula {shortened(text)!r} is nested too deeply.") from None
    if not parser.at_end():
        rest = parser.peek().lexeme
        hint = " A random term stands in parentheses." if "|" in rest else ""
        raise FormulaError(
            f"The formula {shortened(text)!r} cannot be read from {rest!r} on.{hint} {_EXAMPLE}"
        )
    return tree


def _with_double_bars(tokens: list[Any]) -> list[Any]:
    joined: list[Any] = []
    for token in tokens:
        if token.kind == "PIPE" and joined and joined[-1].kind == "PIPE" and joined[-1].lexeme == "|":
            joined[-1] = Token("PIPE", "||")
        else:
            joined.append(token)
    return joined


def _sum_of(node: Any, sign: str = "+") -> Iterator[tuple[str, Any]]:
    """Yield the summands of a sum with their signs, looking through parentheses."""
    match node:
        case syntax.Binary(operator=operator) if operator.kind in ("PLUS", "MINUS"):
            yield from _sum_of(node.left, sign)
            yield from _sum_of(node.right, sign if operator.kind == "PLUS" else _opposite(sign))
        case syntax.Unary():
            yield from _sum_of(node.right, sign if node.operator.kind == "PLUS" else _opposite(sign))
        case syntax.Grouping() if _bar(node) is None and sign == "+":
            yield from _sum_of(node.expression, sign)
        case _:
            yield sign, node


def _opposite(sign: str) -> str:
    return "-" if sign == "+" else "+"


def _bar(node: Any) -> Any | None:
    while isinstance(node, syntax.Grouping):
        node = node.expression
    return node if isinstance(node, syntax.Binary) and node.operator.kind == "PIPE" else None


class _Reader:
    """Meaning of syntax trees; remembers each variable in the order of first appearance."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.variables: dict[str, Variable] = {}

    def refuse(self, problem: str) -> FormulaError:
        return FormulaError(f"The formula {shortened(self.text)!r} {problem}")

    # terms

    def terms(self, parts: list[tuple[str, Any]]) -> list[Term]:
        """Return the terms of a sum that has an intercept unless it is taken out."""
        found: list[Term] = [INTERCEPT]
        for sign, part in parts:
            constant = part.value if isinstance(part, syntax.Literal) else None
            if constant is not None and constant not in (0, 1):
                raise self.refuse(f"has the number {constant!r} as a term; only 0 and 1 have a meaning.")
            if constant is not None:
                with_intercept = (constant == 1) == (sign == "+")
                found = [term for term in found if term != INTERCEPT]
                found = [INTERCEPT, *found] if with_intercept else found
                continue
            new = self.product(part)
            if sign == "-":
                dropped = {frozenset(term) for term in new}
                found = [term for term in found if frozenset(term) not in dropped]
            else:
                found = _distinct(found + new)
        return found

    def product(self, node: Any) -> list[Term]:
        """Return the terms of one summand, without an intercept of its own."""
        match node:
            case syntax.Grouping():
                inner = self.terms(list(_sum_of(node.expression)))
                return [term for term in inner if term != INTERCEPT]
            case syntax.Binary(operator=operator) if operator.kind in ("STAR", "COLON", "SLASH"):
                left, right = self.product(node.left), self.product(node.right)
                if operator.kind == "SLASH":
                    inside = _union(*left)
                    return _distinct([*left, *(_union(inside, term) for term in right)])
                if len(left) * len(right) > MAX_TERMS:
                    raise self.refuse(f"has more than {MAX_TERMS} terms; write the ones you need.")
                crossed = [_union(one, other) for one in left for other in right]
                return _distinct([*left, *right, *crossed] if operator.kind == "STAR" else crossed)
            case syntax.Binary(operator=operator) if operator.kind == "STAR_STAR":
                return self.power(node)
            case syntax.Binary(operator=operator) if operator.kind == "PIPE":
                raise self.refuse("has a random term inside another term; add it with +.")
            case syntax.Variable() | syntax.QuotedName() | syntax.Call():
                variable = self.variable(node)
                self.variables.setdefault(variable.name, variable)
                return [(variable.name,)]
            case _:
                raise self.refuse(f"holds {_written(node, code=False)!r}, which is not a term.")

    def power(self, node: Any) -> list[Term]:
        degree = node.right.value if isinstance(node.right, syntax.Literal) else None
        if not isinstance(degree, int) or not 1 <= degree <= 6:
            raise self.refuse("raises terms to a power that is not a whole number from 1 to 6.")
        base = self.product(node.left)
        terms = base
        for _ in range(degree - 1):
            terms = _distinct([*terms, *(_union(one, other) for one in terms for other in base)])
            if len(terms) > MAX_TERMS:
                raise self.refuse(f"has more than {MAX_TERMS} terms; write the ones you need.")
        return terms

    def ordered(self, terms: list[Term]) -> tuple[Term, ...]:
        """Return terms by degree, variables inside a term by first appearance, as R does."""
        place = {name: position for position, name in enumerate(self.variables)}
        inside = [tuple(sorted(term, key=place.__getitem__)) for term in terms]
        return tuple(sorted(inside, key=len))

    def random_terms(self, bar: Any) -> list[RandomTerm]:
        terms = self.ordered(self.terms(list(_sum_of(bar.left))))
        if not terms:
            raise self.refuse("has a random term without any effect left of the bar.")
        blocks = [(term,) for term in terms] if bar.operator.lexeme == "||" else [terms]
        return [RandomTerm(block, group, name) for group, name in self.groups(bar.right) for block in blocks]

    def groups(self, node: Any) -> list[tuple[Term, str]]:
        """Return each grouping of the right side of a bar and its name; ``a/b`` gives a and b:a."""
        match node:
            case syntax.Grouping():
                return self.groups(node.expression)
            case syntax.Binary(operator=operator) if operator.kind == "SLASH":
                outer, inner = self.groups(node.left), self.groups(node.right)
                above, above_name = outer[-1]
                if {name for group, _ in inner for name in group} <= set(above):
                    raise self.refuse(f"nests {above_name!r} in itself.")
                shown = f"({above_name})" if ":" in above_name else above_name
                return [*outer, *((group + above, f"{name}:{shown}") for group, name in inner)]
            case syntax.Binary(operator=operator) if operator.kind == "COLON":
                sides = [self.groups(node.left), self.groups(node.right)]
                if all(len(side) == 1 for side in sides):
                    (left, left_name), (right, right_name) = sides[0][0], sides[1][0]
                    return [(left + right, f"{left_name}:{right_name}")]
            case syntax.Variable() | syntax.QuotedName() | syntax.Call():
                variable = self.variable(node)
                self.variables.setdefault(variable.name, variable)
                return [((variable.name,), variable.name)]
        raise self.refuse("has a grouping that is not made of names, ':' and '/'.")

    # variables

    def response(self, node: Any, *, cbind: bool) -> tuple[Variable, Variable | None]:
        """Return the left side, and the counts of the other outcome if it is ``cbind(yes, no)``."""
        if not (isinstance(node, syntax.Call) and self.called(node) == "cbind"):
            return self.variable(node), None
        if not cbind:
            raise self.refuse("has cbind on the left side, which only models of yes/no outcomes have.")
        if len(node.args) != 2:
            raise self.refuse("needs two counts on the left side: cbind(yes, no).")
        return self.variable(node.args[0]), self.variable(node.args[1])

    def variable(self, node: Any) -> Variable:
        """Return the variable a tree of arithmetic and calls stands for."""
        if isinstance(node, syntax.Call) and self.called(node) in _FACTOR:
            if len(node.args) != 1:
                raise self.refuse("calls factor with more than one argument.")
            inner = node.args[0]
            self.check_arithmetic(inner)
            return Variable(_written(node, code=False), _written(inner, code=True), as_factor=True)
        self.check_arithmetic(node)
        return Variable(_written(node, code=False), _written(node, code=True))

    def called(self, node: Any) -> str:
        return node.callee.name.lexeme if isinstance(node.callee, syntax.Variable) else ""

    def check_arithmetic(self, node: Any) -> None:
        match node:
            case syntax.Grouping():
                self.check_arithmetic(node.expression)
            case syntax.Unary():
                self.check_arithmetic(node.right)
            case syntax.Binary(operator=operator) if operator.kind in _OPERATORS:
                self.check_arithmetic(node.left)
                self.check_arithmetic(node.right)
            case syntax.Call():
                name = self.called(node)
                if name not in FUNCTIONS or len(node.args) != 1:
                    known = ", ".join(sorted((*FUNCTIONS, "factor")))
                    raise self.refuse(
                        f"calls {name or 'something odd'!r}; functions of one argument are {known}. "
                        f"{nearest(name, (*FUNCTIONS, 'factor'))}"
                    )
                self.check_arithmetic(node.args[0])
            case syntax.Variable(level=None) | syntax.QuotedName() | syntax.Literal():
                return
            case _:
                raise self.refuse(
                    f"holds {_written(node, code=False)!r}, which is not arithmetic on columns."
                )


# R's way of spacing operators when it turns an expression into a name.
_OPERATORS: Final[dict[str, str]] = {
    "PLUS": " + ",
    "MINUS": " - ",
    "STAR": " * ",
    "SLASH": "/",
    "STAR_STAR": "^",
    "EQUAL_EQUAL": " == ",
    "BANG_EQUAL": " != ",
    "LESS": " < ",
    "LESS_EQUAL": " <= ",
    "GREATER": " > ",
    "GREATER_EQUAL": " >= ",
}


def _written(node: Any, *, code: bool) -> str:
    """Return a tree as text: for `expressions.evaluate` if ``code``, else as R deparses it."""
    match node:
        case syntax.Grouping():
            return f"({_written(node.expression, code=code)})"
        case syntax.Unary():
            return f"{node.operator.lexeme}{_written(node.right, code=code)}"
        case syntax.Binary():
            sign = node.operator.lexeme if code else _OPERATORS.get(node.operator.kind, node.operator.lexeme)
            return f"{_written(node.left, code=code)}{sign}{_written(node.right, code=code)}"
        case syntax.Call():
            callee = node.callee.name.lexeme if isinstance(node.callee, syntax.Variable) else "?"
            return f"{callee}({', '.join(_written(each, code=code) for each in node.args)})"
        case syntax.Variable():
            name = node.name.lexeme
            return f"`{name}`" if code else name
        case syntax.QuotedName():
            quoted: str = node.expression.lexeme
            plain = re.fullmatch(r"[A-Za-z.][\w.]*", quoted[1:-1]) is not None
            return quoted[1:-1] if plain and not code else quoted
        case syntax.Literal():
            return repr(node.value)
        case _:
            return str(node)


def _union(*terms: Term) -> Term:
    return tuple(dict.fromkeys(name for term in terms for name in term))


def _distinct(terms: list[Term]) -> list[Term]:
    found: dict[frozenset[str], Term] = {}
    for term in terms:
        found.setdefault(frozenset(term), term)
    return list(found.values())
