# Regenerates mixed_weights.json: models with row weights, lme4 and lmerTest. Run here: Rscript mixed_weights.R
suppressMessages({library(lme4); library(lmerTest); library(jsonlite)})
set.seed(11)
d <- expand.grid(rep = 1:4, neuron = 1:4, session = 1:2, animal = 1:6)
d$x <- round(rnorm(nrow(d), 5, 2), 3)
d$n <- sample(1:12, nrow(d), TRUE)
d$w <- round(runif(nrow(d), .2, 3), 3)
d$drug <- ifelse(d$animal %% 2 == 0, "ket", "sal")
session <- (d$animal - 1) * 2 + d$session
neuron <- (session - 1) * 4 + d$neuron
d$y <- round(2 + rnorm(6, 0, .8)[d$animal] + rnorm(12, 0, .4)[session] + rnorm(48)[neuron] +
  .3 * d$x + .4 * (d$drug == "ket") + rnorm(nrow(d)) / sqrt(d$n), 4)
d <- d[runif(nrow(d)) < .8, setdiff(names(d), "rep")]
d$animal <- paste0("a", d$animal)
d$session <- paste0(d$animal, "s", d$session)
d$neuron <- paste0(d$session, "n", d$neuron)
rownames(d) <- NULL
exact <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5),
                     check.conv.singular = "ignore")
cases <- list()
for (f in c("y ~ drug * x + (1 | animal) + (1 | session) + (1 | neuron)", "y ~ drug + x + (x | animal)",
            "y ~ x + (1 + x | neuron) + (1 | animal)")) {
  for (w in c("n", "w")) for (reml in c(TRUE, FALSE)) {
    d$weight <- d[[w]]
    m <- suppressMessages(lmer(as.formula(f), d, REML = reml, weights = weight, control = exact))
    rows <- coef(summary(m))
    cases[[length(cases) + 1]] <- list(
      formula = f, weights = w, method = if (reml) "reml" else "ml",
      criterion = if (reml) REMLcrit(m) else deviance(m, REML = FALSE), sigma = sigma(m),
      beta = as.list(fixef(m)), se = as.list(rows[, 2]), satterthwaite_df = as.list(rows[, 3]),
      sd = as.data.frame(VarCorr(m))[, c("grp", "var1", "var2", "sdcor")])
  }
}
d$weight <- NULL
info <- list(R = R.version.string, lme4 = as.character(packageVersion("lme4")),
             lmerTest = as.character(packageVersion("lmerTest")), note = "bobyqa, rhoend 1e-10; full digits")
writeLines(toJSON(list(info = info, data = as.list(d), cases = cases), digits = I(15), auto_unbox = TRUE, na = "null"),
           "mixed_weights.json")
