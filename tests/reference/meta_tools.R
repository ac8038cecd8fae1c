# Answers of metafor for effect sizes, leave-one-out, influence, small-study tools and permutation tests.
# Run in this folder: Rscript meta_tools.R
suppressMessages({
  library(metafor)
  library(jsonlite)
})

tight <- list(REMLf = TRUE, threshold = 1e-14, tol = 1e-14, maxiter = 10000, stepadj = 1)
pair <- function(x) list(yi = as.numeric(x$yi), vi = as.numeric(x$vi))
fields <- function(r) {
  list(
    b = as.numeric(r$beta), se = r$se, stat = r$zval, p = r$pval, ci.lb = r$ci.lb, ci.ub = r$ci.ub,
    tau2 = r$tau2, se.tau2 = r$se.tau2, I2 = r$I2, H2 = r$H2, QE = r$QE, QEp = r$QEp, QM = r$QM, QMp = r$QMp,
    R2 = r$R2, ll = as.numeric(r$fit.stats[, "REML"]), llml = as.numeric(r$fit.stats[, "ML"]), vb = unname(r$vb)
  )
}

# Effect sizes ---------------------------------------------------------------------------------------------
means <- dat.normand1999
two <- c("n1i", "m1i", "sd1i", "n2i", "m2i", "sd2i")
independent <- list()
for (case in list(c("MD", "LS"), c("MD", "HO"), c("SMD", "LS"), c("SMD", "LS2"), c("SMD", "UB"), c("SMDH", "LS"),
                  c("ROM", "LS"), c("ROM", "HO"))) {
  found <- escalc(case[1], n1i = n1i, m1i = m1i, sd1i = sd1i, n2i = n2i, m2i = m2i, sd2i = sd2i, data = means,
                  vtype = case[2], append = FALSE)
  independent[[paste(case, collapse = " ")]] <- pair(found)
}
# One group measured twice; made up, with signs, a negative correlation and a small group among them.
paired_table <- data.frame(
  m1i = c(5.1, 3.3, 7.9, 2.2, 11.5), m2i = c(4.0, 3.9, 5.5, 1.7, 9.1), sd1i = c(1.2, 0.8, 3.1, 0.9, 4.4),
  sd2i = c(1.5, 1.1, 2.2, 0.7, 3.9), ni = c(12, 6, 31, 4, 20), ri = c(0.6, 0.2, 0.85, -0.3, 0.5)
)
paired <- list()
for (case in list(c("MC", "LS"), c("SMCC", "LS"), c("SMCC", "LS2"), c("SMCR", "LS"), c("SMCR", "LS2"), c("ROMC", "LS"))) {
  found <- escalc(case[1], m1i = m1i, m2i = m2i, sd1i = sd1i, sd2i = sd2i, ni = ni, ri = ri, data = paired_table,
                  vtype = case[2], append = FALSE)
  paired[[paste(case, collapse = " ")]] <- pair(found)
}
# Counts: the BCG trials, and two with empty cells.
counts_table <- with(dat.bcg, data.frame(ai = c(tpos, 0, 4), bi = c(tneg, 20, 0), ci = c(cpos, 5, 0), di = c(cneg, 18, 7)))
counts <- list()
for (measure in c("OR", "RR", "RD")) {
  found <- escalc(measure, ai = ai, bi = bi, ci = ci, di = di, data = counts_table, append = FALSE)
  counts[[measure]] <- pair(found)
}
shares_table <- data.frame(xi = c(3, 0, 40, 12), ni = c(10, 25, 55, 12))
shares <- list(PLO = pair(escalc("PLO", xi = xi, ni = ni, data = shares_table, append = FALSE)))
rates_table <- data.frame(x1i = c(30, 4, 0), t1i = c(12, 3.5, 9), x2i = c(44, 9, 6), t2i = c(11, 4.5, 8))
rates <- list(IRR = pair(escalc("IRR", x1i = x1i, t1i = t1i, x2i = x2i, t2i = t2i, data = rates_table, append = FALSE)))
correlations_table <- data.frame(ri = c(0.1, -0.62, 0.95, 0), ni = c(123, 20, 5, 61))
correlations <- list(
  COR = pair(escalc("COR", ri = ri, ni = ni, data = correlations_table, append = FALSE)),
  ZCOR = pair(escalc("ZCOR", ri = ri, ni = ni, data = correlations_table, append = FALSE))
)

# Models ---------------------------------------------------------------------------------------------------
bcg <- escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg, append = TRUE)
own <- c(5, 3, 1, 7, 4, 9, 2, 8, 6, 5, 3, 1, 2)
fits <- list(
  "REML t" = fields(rma(yi, vi, data = bcg, test = "t", control = tight)),
  "REML adhoc" = fields(rma(yi, vi, data = bcg, test = "adhoc", control = tight)),
  "DL t mods" = fields(rma(yi, vi, mods = ~ ablat + year, data = bcg, method = "DL", test = "t")),
  "ML knha mods" = fields(rma(yi, vi, mods = ~ ablat + year, data = bcg, method = "ML", test = "knha", control = tight)),
  "EE t" = fields(rma(yi, vi, data = bcg, method = "EE", test = "t")),
  "EE t mods" = fields(rma(yi, vi, mods = ~ ablat, data = bcg, method = "FE", test = "t")),
  "HSk z" = fields(rma(yi, vi, data = bcg, method = "HSk")),
  "GENQ knha weights" = fields(rma(yi, vi, weights = own, data = bcg, method = "GENQ", test = "knha")),
  "GENQ z weights mods" = fields(rma(yi, vi, weights = own, mods = ~ ablat, data = bcg, method = "GENQ")),
  "REML z weights" = fields(rma(yi, vi, weights = own, data = bcg, control = tight)),
  "REML knha weights mods" = fields(rma(yi, vi, weights = own, mods = ~ ablat, data = bcg, test = "knha", control = tight)),
  "REML knha unweighted" = fields(rma(yi, vi, weighted = FALSE, data = bcg, test = "knha", control = tight)),
  "DL z unweighted mods" = fields(rma(yi, vi, weighted = FALSE, mods = ~ ablat, data = bcg, method = "DL"))
)
full <- rma(yi, vi, data = bcg, control = tight)
knha <- rma(yi, vi, data = bcg, test = "knha", control = tight)
# Without one of the studies full steps of the scoring go round in circles.
damped <- modifyList(tight, list(stepadj = 0.5))
regression <- rma(yi, vi, mods = ~ ablat + year, data = bcg, control = damped)
regression_knha <- rma(yi, vi, mods = ~ ablat + year, data = bcg, test = "knha", control = damped)
qprofile <- list(
  mods = unname(confint(regression, control = list(tol = 1e-14))$random),
  low_level = unname(confint(full, level = 80, control = list(tol = 1e-14))$random)
)
predictions <- as.data.frame(predict(regression_knha, newmods = cbind(c(10, 33.5, 60), c(1940, 1970, 1980))))

# Sensitivity ----------------------------------------------------------------------------------------------
influence_of <- function(r) {
  found <- influence(r)
  c(as.list(as.data.frame(found$inf)[c("rstudent", "dffits", "cook.d", "cov.r", "tau2.del", "QE.del", "hat", "weight")]),
    list(dfbs = as.list(as.data.frame(found$dfbs)), marked = as.logical(found$is.infl)))
}
influences <- list(z = influence_of(full), knha = influence_of(knha), mods = influence_of(regression),
                   mods_knha = influence_of(regression_knha))
left_out <- lapply(list(z = full, knha = knha), function(r) as.list(as.data.frame(leave1out(r))))
cumulated <- lapply(list(z = full, knha = knha), function(r) {
  as.list(as.data.frame(cumul(r, order = bcg$year)))
})
pdf(NULL)
baujats <- list(bcg = as.list(baujat(full)[c("x", "y")]), ee = as.list(baujat(rma(yi, vi, data = bcg, method = "EE"))[c("x", "y")]))
studentized <- as.list(as.data.frame(rstandard(full)))[c("resid", "se", "z")]

# Small-study tools ----------------------------------------------------------------------------------------
smoke <- dat.hackshaw1998
smoke_fit <- rma(yi, vi, data = smoke, control = tight)
smoke_n <- round(4 / smoke$vi)
egger <- function(x, ...) {
  r <- regtest(x, ...)
  list(stat = r$zval, p = r$pval, dfs = r$dfs, est = r$est, ci.lb = r$ci.lb, ci.ub = r$ci.ub)
}
eggers <- list(
  "bcg rma sei" = egger(full), "bcg rma vi" = egger(full, predictor = "vi"), "bcg rma sei knha" = egger(knha),
  "bcg lm sei" = egger(full, model = "lm"), "bcg lm vi" = egger(full, model = "lm", predictor = "vi"),
  "smoke rma sei" = egger(smoke_fit), "smoke lm sei" = egger(smoke_fit, model = "lm"),
  "smoke rma ni" = egger(smoke_fit, predictor = "ni", ni = smoke_n),
  "smoke rma ninv" = egger(smoke_fit, predictor = "ninv", ni = smoke_n),
  "smoke rma sqrtninv" = egger(smoke_fit, predictor = "sqrtninv", ni = smoke_n)
)
rank_of <- function(...) { r <- ranktest(...); list(tau = unname(r$tau), p = r$pval) }
tied <- transform(bcg, vi = pmax(0.01, round(as.numeric(vi), 2)), yi = round(as.numeric(yi), 1))
ranks <- list(
  bcg = rank_of(full), smoke = rank_of(smoke_fit), tied = suppressWarnings(rank_of(tied$yi, tied$vi)),
  tied_data = list(yi = as.numeric(tied$yi), vi = as.numeric(tied$vi))
)
filled <- function(r, ...) {
  t <- trimfill(r, ...)
  list(k0 = t$k0, se.k0 = t$se.k0, side = t$side, p.k0 = t$p.k0, b = as.numeric(t$beta), se = t$se, tau2 = t$tau2,
       ci.lb = t$ci.lb, ci.ub = t$ci.ub, yi = as.numeric(t$yi), vi = as.numeric(t$vi), fill = as.logical(t$fill))
}
fills <- list(
  "bcg L0" = filled(full), "bcg L0 right" = filled(full, side = "right"), "bcg L0 left" = filled(full, side = "left"),
  "bcg knha L0" = filled(knha), "smoke L0" = filled(smoke_fit), "smoke R0" = filled(smoke_fit, estimator = "R0"),
  "smoke L0 right" = filled(smoke_fit, side = "right"), "smoke ee L0" = filled(rma(yi, vi, data = smoke, method = "EE")),
  "smoke ee R0" = filled(rma(yi, vi, data = smoke, method = "EE"), estimator = "R0")
)

# Permutation tests ----------------------------------------------------------------------------------------
few <- bcg[c(1, 3, 4, 6, 9, 12), ]
exact <- function(r) {
  found <- permutest(r, exact = TRUE, progbar = FALSE)
  list(p = as.numeric(found$pval), QMp = found$QMp, iter = found$permci)
}
permutations <- list(
  rows = c(1, 3, 4, 6, 9, 12),
  mean_z = exact(rma(yi, vi, data = few, method = "DL")),
  mean_knha = exact(rma(yi, vi, data = few, test = "knha", control = tight)),
  ablat_knha = exact(rma(yi, vi, mods = ~ ablat, data = few, test = "knha", control = tight)),
  two_dl = exact(rma(yi, vi, mods = ~ ablat + year, data = few, method = "DL"))
)

write_json(
  list(
    info = list(R = R.version.string, metafor = as.character(packageVersion("metafor")),
                note = "thresholds of 1e-14; published study data of metadat: dat.bcg, dat.normand1999, dat.hackshaw1998"),
    effect_sizes = list(
      independent = list(data = as.list(means[two]), answers = independent),
      paired = list(data = as.list(paired_table), answers = paired),
      counts = list(data = as.list(counts_table), answers = counts),
      shares = list(data = as.list(shares_table), answers = shares),
      rates = list(data = as.list(rates_table), answers = rates),
      correlations = list(data = as.list(correlations_table), answers = correlations)
    ),
    bcg = list(yi = as.numeric(bcg$yi), vi = as.numeric(bcg$vi), ablat = bcg$ablat, year = bcg$year,
               author = bcg$author, weights = own),
    smoke = list(yi = as.numeric(smoke$yi), vi = as.numeric(smoke$vi), ni = smoke_n),
    fits = fits, qprofile = qprofile, predict = as.list(predictions), influence = influences, leave1out = left_out,
    cumul = cumulated, baujat = baujats, rstandard = studentized, regtest = eggers, ranktest = ranks,
    trimfill = fills, permutest = permutations
  ),
  "meta_tools.json", digits = 15, auto_unbox = TRUE, na = "null", null = "null", pretty = FALSE
)
