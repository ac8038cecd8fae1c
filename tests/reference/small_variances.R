# Rscript small_variances.R: writes small_variances.json into this folder.
# Forty small data sets whose variances between groups are small or zero, where searches get stuck. Each is
# fitted by lme4 with three optimisers, from its own start and from two others; the lowest criterion is kept.
library(lme4)
library(jsonlite)
RNGkind("Mersenne-Twister", "Inversion", "Rejection")

formulas <- c(
  "y ~ arm * x + (1 | animal/session)",
  "y ~ arm * x + (x | animal)",
  "y ~ arm * x + (x | animal) + (1 | animal:session)",
  "y ~ arm * x + (x | animal/session)",
  "y ~ x + z + (x + z | animal)",
  "y ~ x + (x || animal) + (x | animal:session)",
  "y ~ x + z + (0 + x | animal) + (z | animal:session) + (1 | animal)",
  "y ~ arm + z + (z | animal/session) + (1 | animal:session:neuron)"
)

simulated <- function(seed) {
  set.seed(seed)
  animals <- sample(4:7, 1); sessions <- sample(2:3, 1); neurons <- sample(2:4, 1)
  d <- expand.grid(x = 0:1, neuron = 1:neurons, session = 1:sessions, animal = 1:animals)
  d <- d[runif(nrow(d)) < sample(c(0.7, 0.85, 1), 1), c("animal", "session", "neuron", "x")]
  d$arm <- d$animal %% 2
  d$z <- round(rnorm(nrow(d)), 2)
  sd <- sample(c(0, 0.05, 0.1, 0.2, 0.3), 5, replace = TRUE)
  a <- matrix(rnorm(3 * animals), ncol = 3)
  s <- matrix(rnorm(2 * animals * sessions), ncol = 2)
  g <- (d$animal - 1) * sessions + d$session
  d$y <- rnorm(nrow(d)) + sd[1] * a[d$animal, 1] + sd[2] * a[d$animal, 2] * d$x + sd[3] * a[d$animal, 3] * d$z +
    sd[4] * s[g, 1] + sd[5] * s[g, 2] * d$x
  d$y <- round(d$y, 4)
  d
}

ways <- list(
  nloptwrap = lmerControl(optimizer = "nloptwrap", calc.derivs = FALSE,
    optCtrl = list(xtol_abs = 1e-10, ftol_abs = 1e-12, maxeval = 1e5), check.conv.singular = "ignore"),
  bobyqa = lmerControl(optimizer = "bobyqa", calc.derivs = FALSE,
    optCtrl = list(rhoend = 1e-9, maxfun = 1e5), check.conv.singular = "ignore"),
  Nelder_Mead = lmerControl(optimizer = "Nelder_Mead", calc.derivs = FALSE,
    optCtrl = list(FtolAbs = 1e-12, FtolRel = 1e-15, XtolRel = 1e-10, maxfun = 1e5),
    check.conv.singular = "ignore")
)

criterion <- function(f, d, control, size) {
  tryCatch(suppressWarnings({
    parsed <- lFormula(f, d, REML = TRUE, control = control)
    start <- ifelse(parsed$reTrms$lower == 0, size, 0)
    REMLcrit(lmer(f, d, REML = TRUE, control = control, start = list(theta = start)))
  }), error = function(e) NA_real_)
}

sets <- lapply(1:40, function(seed) {
  d <- simulated(seed)
  for (name in c("animal", "session", "neuron")) d[[name]] <- factor(d[[name]])
  text <- formulas[(seed - 1) %% length(formulas) + 1]
  found <- lapply(ways, function(control) {
    sapply(c(1, 0.1, 3), function(size) criterion(as.formula(text), d, control, size))
  })
  default <- suppressMessages(suppressWarnings(REMLcrit(lmer(as.formula(text), d))))
  best <- sapply(found, function(each) min(each, na.rm = TRUE))
  list(seed = seed, formula = text, criterion = min(best), by_optimizer = as.list(best), default = default,
    data = lapply(as.list(d), function(v) if (is.factor(v)) as.integer(as.character(v)) else v))
})
info <- list(R = R.version.string, lme4 = as.character(packageVersion("lme4")))
write(toJSON(list(info = info, sets = sets), auto_unbox = TRUE, digits = 15, na = "null"),
  "small_variances.json")
