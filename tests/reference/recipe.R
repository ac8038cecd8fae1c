# Regenerates the numbers of mixed_models.json, mixed_cases.json and meta_bcg.json with lme4, lmerTest and
# metafor. Run in this folder: Rscript recipe.R
# Inputs of mixed_models.json and meta_bcg.json are kept as they are in the files; those of mixed_cases.json
# are simulated here.
suppressMessages({library(lme4); library(lmerTest); library(metafor); library(jsonlite)})

write_answers <- function(value, path) {
  writeLines(toJSON(value, digits = I(15), auto_unbox = TRUE, na = "null", null = "null"), path)
}
versions <- function(note) {
  list(R = R.version.string, lme4 = as.character(packageVersion("lme4")),
       lmerTest = as.character(packageVersion("lmerTest")),
       metafor = as.character(packageVersion("metafor")), note = note)
}
exact <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5),
                     check.conv.singular = "ignore")

# One search can end in a local optimum: search three ways, and once more from the best end.
best_fit <- function(formula, data, reml) {
  models <- list(lmer(formula, data, REML = reml, control = exact),
                 lmer(formula, data, REML = reml, control = lmerControl(optimizer = "nloptwrap")),
                 lmer(formula, data, REML = reml, control = lmerControl(optimizer = "Nelder_Mead")))
  criteria <- sapply(models, function(m) -2 * as.numeric(logLik(m)))
  theta <- getME(models[[which.min(criteria)]], "theta")
  again <- lmer(formula, data, REML = reml, control = exact, start = theta)
  if (-2 * as.numeric(logLik(again)) <= criteria[1]) again else models[[1]]
}
mixed_answers <- function(formula, data, reml) {
  model <- suppressWarnings(suppressMessages(best_fit(as.formula(formula), data, reml)))
  rows <- coef(summary(model))
  tests <- as.data.frame(anova(model))
  tests$term <- rownames(tests)
  list(formula = formula, criterion = if (reml) REMLcrit(model) else deviance(model, REML = FALSE),
       sigma = sigma(model), beta = as.list(fixef(model)), se = as.list(rows[, 2]),
       satterthwaite_df = as.list(rows[, 3]), satterthwaite_p = as.list(rows[, 5]),
       varcorr = as.data.frame(VarCorr(model)), isSingular = isSingular(model),
       vcov = as.matrix(vcov(model)), anova = tests, aic = AIC(model), bic = BIC(model))
}
named <- function(answers) {  # one coefficient makes a row without its name
  for (key in c("se", "satterthwaite_df", "satterthwaite_p")) names(answers[[key]]) <- names(answers$beta)
  answers
}

# Published and simulated sets
kept <- fromJSON("mixed_models.json", simplifyDataFrame = FALSE)
for (name in names(kept$models)) {
  entry <- kept$models[[name]]
  data <- as.data.frame(entry$data, stringsAsFactors = FALSE)
  for (method in c("reml", "ml")) {
    kept$models[[name]][[method]] <- named(mixed_answers(entry[[method]]$formula, data, method == "reml"))
  }
}
kept$info <- versions("lme4 with bobyqa, rhoend 1e-10; full digits")
write_answers(kept, "mixed_models.json")

# Cases that try the formula language, codings, depth of nesting and singular fits
set.seed(7)
d <- expand.grid(rep = 1:4, neuron = 1:4, session = 1:2, animal = 1:6, lab = 1:3)
d$x <- round(rnorm(nrow(d), 5, 2), 3)
d$cond <- sample(c("ctrl", "high", "low"), nrow(d), TRUE)
d$sex <- ifelse(d$animal %% 2 == 0, "f", "m")
d$drug <- ifelse((d$animal + d$session) %% 2 == 0, "ket", "sal")
animal <- (d$lab - 1) * 6 + d$animal
session <- (animal - 1) * 2 + d$session
neuron <- (session - 1) * 4 + d$neuron
d$y <- round(2 + rnorm(3, 0, .5)[d$lab] + rnorm(18, 0, .8)[animal] + rnorm(36, 0, .4)[session] +
  rnorm(144)[neuron] + rnorm(18, .3, .2)[animal] * d$x + .4 * (d$cond == "high") + rnorm(nrow(d)), 4)
d <- d[runif(nrow(d)) < .7, setdiff(names(d), "rep")]
for (name in c("lab", "animal", "session", "neuron")) d[[name]] <- paste0(substr(name, 1, 1), d[[name]])
rownames(d) <- NULL
formulas <- c(
  "y ~ cond * x + (1 | lab/animal/session/neuron)",
  "y ~ cond + x + (x | lab:animal) + (1 | lab:animal:session)",
  "y ~ cond * sex + x + (x || lab:animal) + (1 | lab:animal:session:neuron)",
  "y ~ 0 + cond + sex + x + (1 | lab:animal)",
  "y ~ cond / x + (1 | lab:animal) + (1 | lab)",
  "y ~ sex:x + cond + (0 + x | lab:animal)",
  "y ~ drug + (drug | lab:animal) + (1 | lab:animal:session:neuron)",
  "log(y + 30) ~ drug * sex * x + (x | lab/animal)",
  "y ~ I(x^2) + cond + (1 | lab:animal:session)",
  "y ~ x + (0 + cond | lab:animal)")
cases <- list()
for (formula in formulas) {
  for (reml in c(TRUE, FALSE)) {
    answer <- named(mixed_answers(formula, d, reml))
    answer$method <- if (reml) "reml" else "ml"
    cases[[length(cases) + 1]] <- answer
  }
}
write_answers(list(info = versions("simulated in recipe.R, seed 7"), data = as.list(d), cases = cases),
              "mixed_cases.json")

# BCG vaccine trials
bcg <- fromJSON("meta_bcg.json")
get <- function(fit) {
  keys <- c("se", "ci.lb", "ci.ub", "tau2", "se.tau2", "I2", "H2", "QE", "QEp", "QM", "QMp")
  found <- fit[keys]
  found$b <- as.numeric(fit$beta); found$stat <- fit$zval; found$p <- fit$pval; found$R2 <- fit$R2
  if (fit$p == 1 && fit$method != "EE") {
    interval <- predict(fit)
    found$pi.lb <- interval$pi.lb; found$pi.ub <- interval$pi.ub
  }
  found
}
control <- list(REML = list(threshold = 1e-14, maxiter = 1000), ML = list(threshold = 1e-14, maxiter = 1000),
                EB = list(threshold = 1e-14, maxiter = 10000), PM = list(tol = 1e-13))
for (key in names(bcg$fits)) {
  words <- strsplit(key, " ")[[1]]
  bcg$fits[[key]] <- get(rma(bcg$yi, bcg$vi, method = words[1], test = words[2],
                             control = if (is.null(control[[words[1]]])) list() else control[[words[1]]]))
}
fit <- rma(bcg$yi, bcg$vi, method = "REML", control = control$REML)
bcg$tau2_qprofile <- as.numeric(confint(fit, control = list(tol = 1e-13))$random[1, 2:3])
bcg$metareg <- get(rma(bcg$yi, bcg$vi, mods = bcg$mods, method = "REML", control = control$REML))
bcg$metareg_knha <- get(rma(bcg$yi, bcg$vi, mods = bcg$mods, method = "REML", test = "knha",
                             control = control$REML))
bcg$info <- versions("thresholds 1e-14, PM tol 1e-13; with its defaults metafor's PM stops at tau2 .318094")
write_answers(bcg, "meta_bcg.json")
